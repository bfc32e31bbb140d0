// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/netlink_socket.hpp"

#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

Error libnl_error(int code, std::string_view what) {
  return Error::make(Errc::kernel, fmt::format("{}: {}", what, nl_geterror(code)));
}

void set_option(nl_sock* socket, int option) {
  const int on = 1;
  // Kernels before 4.12 have no extended acknowledgements; errors are then told by errno alone.
  (void)::setsockopt(nl_socket_get_fd(socket), SOL_NETLINK, option, &on, sizeof on);
}

}  // namespace

NetlinkSocket::NetlinkSocket(nl_sock* socket) : socket_{socket, nl_socket_free} {}

Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  NetlinkSocket socket{nl_socket_alloc()};
  if (!socket.socket_) return fail_errno(ENOMEM, "netlink socket");
  if (const int code = nl_connect(socket.handle(), protocol); code < 0) {
    return fail(libnl_error(code, "connect to netlink"));
  }
  nl_socket_enable_msg_peek(socket.handle());  // the list of many VFs is larger than a page
  set_option(socket.handle(), NETLINK_EXT_ACK);
  set_option(socket.handle(), NETLINK_CAP_ACK);
  return socket;
}

Result<void> NetlinkSocket::ask(std::span<const std::byte> request,
                                const std::function<Result<bool>(std::span<const std::byte>)>& read) {
  std::vector<std::byte> copy{request.begin(), request.end()};
  if (const int code = nl_sendto(handle(), copy.data(), copy.size()); code < 0) {
    return fail(libnl_error(code, "send to netlink"));
  }
  for (;;) {
    sockaddr_nl from{};
    unsigned char* raw{};
    const int length = nl_recv(handle(), &from, &raw, nullptr);
    const std::unique_ptr<unsigned char, void (*)(void*)> buffer{raw, std::free};
    if (length < 0) return fail(libnl_error(length, "receive from netlink"));
    if (length == 0) return fail_errno(EIO, "receive from netlink: nothing came");
    if (from.nl_pid != 0) continue;  // only the kernel is to be believed
    const bool complete = TRY(read(std::as_bytes(std::span{raw, static_cast<std::size_t>(length)})));
    if (complete) return {};
  }
}

}  // namespace pcivm::sriov
