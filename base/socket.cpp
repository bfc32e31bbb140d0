// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

namespace pcivm {

Result<std::pair<Fd, Fd>> make_socket_pair(int flags) {
  int ends[2]{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends) != 0) return fail_errno(errno, "socketpair");
  return std::pair{Fd::adopt(ends[0]), Fd::adopt(ends[1])};
}

Result<std::pair<Fd, Fd>> make_packet_sockets() {
  int ends[2]{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, "socketpair");
  return std::pair{Fd::adopt(ends[0]), Fd::adopt(ends[1])};
}

namespace {

using Control = std::array<char, CMSG_SPACE(Packet::kMostFiles * sizeof(int))>;

// Those that came are owned from here on.
std::vector<Fd> files_of(msghdr& message) {
  std::vector<Fd> files;
  for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + at, sizeof number);
      files.push_back(Fd::adopt(number));
    }
  }
  return files;
}

// Bytes of the next message; 0 when the other end is gone, or sent none.
Result<std::size_t> receive(FdRef socket, msghdr& message) {
  ssize_t count = 0;
  while ((count = ::recvmsg(socket.number(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) < 0) {
    if (errno == EINTR) continue;
    if (errno != ECONNRESET) return fail_errno(errno, "recvmsg");
    message.msg_controllen = 0;
    return 0;
  }
  return static_cast<std::size_t>(count);
}

}  // namespace

Result<std::size_t> send_some(FdRef socket, std::span<const std::byte> bytes, std::span<const FdRef> files) {
  if (files.size() > Packet::kMostFiles) return fail(Errc::internal, fmt::format("{} files at once", files.size()));
  // sendmsg(2) reads what it is given.
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!files.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
    auto* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
    for (std::size_t index = 0; index < files.size(); ++index) {
      const int number = files[index].number();
      std::memcpy(CMSG_DATA(rights) + index * sizeof number, &number, sizeof number);
    }
  }
  ssize_t count = 0;
  while ((count = ::sendmsg(socket.number(), &message, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0) {
    if (errno != EINTR) return fail_errno(errno, "sendmsg");
  }
  return static_cast<std::size_t>(count);
}

Result<std::size_t> receive_some(FdRef socket, std::span<std::byte> buffer, std::vector<Fd>& files) {
  iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
  alignas(cmsghdr) Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto count = TRY(receive(socket, message));
  std::ranges::move(files_of(message), std::back_inserter(files));
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return fail(Errc::invalid,
                fmt::format("a message that is too large, or has more than {} files", Packet::kMostFiles));
  }
  return count;
}

Result<void> send_packet(FdRef socket, std::string_view text, std::span<const FdRef> files) {
  if (text.empty() || text.size() > Packet::kMost || files.size() > Packet::kMostFiles) {
    return fail(Errc::internal, fmt::format("a packet of {} bytes and {} files", text.size(), files.size()));
  }
  TRY(send_some(socket, std::as_bytes(std::span{text}), files));
  return {};
}

Result<std::optional<Packet>> receive_packet(FdRef socket) {
  Packet packet{.text = std::string(Packet::kMost, '\0')};
  const auto count = TRY(receive_some(socket, std::as_writable_bytes(std::span{packet.text}), packet.files));
  if (count == 0) return std::nullopt;
  packet.text.resize(count);
  return packet;
}

namespace {

Result<Fd> connect_to(const std::string& path, int kind, bool tell_sender) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid, fmt::format("'{}': a path of less than {} bytes wanted", path, sizeof address.sun_path));
  }
  std::ranges::copy(path, address.sun_path);
  auto socket = Fd::adopt(::socket(AF_UNIX, kind | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "socket");
  const int on = 1;
  // Before there is anybody who could send.
  if (tell_sender && ::setsockopt(socket.ref().number(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
    return fail_errno(errno, "setsockopt SO_PASSCRED");
  }
  const auto* const raw = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::connect(socket.ref().number(), raw, sizeof address) == 0) return socket;
  auto error = Error::from_errno(errno, fmt::format("connect '{}'", path));
  return fail(error.sys_errno() == ECONNREFUSED ? std::move(error).as(Errc::not_found) : std::move(error));
}

}  // namespace

Result<Fd> connect_to(const std::string& path) { return connect_to(path, SOCK_STREAM, false); }
Result<Fd> connect_for_packets(const std::string& path) { return connect_to(path, SOCK_SEQPACKET, true); }

Result<std::optional<Greeting>> receive_greeting(FdRef socket) {
  Greeting greeting{.text = std::string(Packet::kMost, '\0')};
  iovec part{.iov_base = greeting.text.data(), .iov_len = greeting.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto count = TRY(receive(socket, message));
  (void)files_of(message);  // nobody asked for any
  if (count == 0) return std::nullopt;
  greeting.text.resize(count);
  for (auto* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_CREDENTIALS) continue;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(each), sizeof sender);
    greeting.process = sender.pid;
    greeting.user = sender.uid;
  }
  if (greeting.process <= 0) return fail(Errc::invalid, "a packet of a process that cannot be seen from here");
  return greeting;
}

Result<std::uint32_t> user_of_peer(FdRef socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket.number(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return fail_errno(errno, "getsockopt SO_PEERCRED");
  }
  return peer.uid;
}

bool hung_up(FdRef fd) noexcept {
  pollfd entry{.fd = fd.number(), .events = 0, .revents = 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace pcivm
