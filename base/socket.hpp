// SPDX-License-Identifier: GPL-2.0-or-later
// Unix sockets, with descriptors that go through them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// socketpair(2); `flags`: SOCK_NONBLOCK.
[[nodiscard]] Result<std::pair<Fd, Fd>> make_socket_pair(int flags = 0);

/// A message on a SOCK_SEQPACKET socket, with descriptors (SCM_RIGHTS).
struct Packet {
  static constexpr std::size_t kMost{8192};  ///< bytes
  static constexpr std::size_t kMostFiles{8};
  std::string text{};
  std::vector<Fd> files{};
};
[[nodiscard]] Result<std::pair<Fd, Fd>> make_packet_sockets();
/// Whole or not at all, without waiting: EAGAIN when the other end does not read.
[[nodiscard]] Result<void> send_packet(FdRef socket, std::string_view text, std::span<const FdRef> files = {});
/// The next one, without waiting: EAGAIN; nothing when the other end is gone. One that is too large is Errc::invalid.
[[nodiscard]] Result<std::optional<Packet>> receive_packet(FdRef socket);

/// A part of a stream, without waiting (EAGAIN); files, at most Packet::kMostFiles, go with the first byte. Returns how
/// many bytes went.
[[nodiscard]] Result<std::size_t> send_some(FdRef socket, std::span<const std::byte> bytes,
                                            std::span<const FdRef> files = {});
/// What there is, without waiting (EAGAIN); 0 when the other end is gone. More files than that are Errc::invalid.
[[nodiscard]] Result<std::size_t> receive_some(FdRef socket, std::span<std::byte> buffer, std::vector<Fd>& files);

/// A stream socket, connected to who listens at `path`. Errc::not_found: nobody does; invalid: the path is too long.
[[nodiscard]] Result<Fd> connect_to(const std::string& path);
/// The same with a SOCK_SEQPACKET socket, for receive_greeting().
[[nodiscard]] Result<Fd> connect_for_packets(const std::string& path);

/// The first packet of the other end of such a connection, and who sent it, as the kernel tells. SO_PEERCRED tells who
/// listened: systemd, for whom it starts.
struct Greeting {
  std::string text{};
  pid_t process{};
  std::uint32_t user{};
};
/// As receive_packet(). Errc::invalid: the kernel does not tell.
[[nodiscard]] Result<std::optional<Greeting>> receive_greeting(FdRef socket);

/// The user of whoever connected to a socket that was accepted.
[[nodiscard]] Result<std::uint32_t> user_of_peer(FdRef socket);

/// The other end of a pipe or socket is gone for good; of a socket that was only shut down for writing it is not.
[[nodiscard]] bool hung_up(FdRef fd) noexcept;

}  // namespace pcivm
