// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace pcivm {

Result<std::pair<Fd, Fd>> make_socket_pair(int flags) {
  int ends[2]{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends) != 0) return fail_errno(errno, "socketpair");
  return std::pair{Fd::adopt(ends[0]), Fd::adopt(ends[1])};
}

bool hung_up(FdRef fd) noexcept {
  pollfd entry{.fd = fd.number(), .events = 0, .revents = 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace pcivm
