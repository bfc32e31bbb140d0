// SPDX-License-Identifier: GPL-2.0-or-later
// Unix sockets between processes of pcivm.
#pragma once

#include <cstddef>
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

/// The other end of a pipe or socket is gone for good; of a socket that was only shut down for writing it is not.
[[nodiscard]] bool hung_up(FdRef fd) noexcept;

}  // namespace pcivm
