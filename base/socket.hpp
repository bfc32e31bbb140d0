// SPDX-License-Identifier: GPL-2.0-or-later
// Unix stream sockets between processes of pcivm.
#pragma once

#include <utility>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// socketpair(2); `flags`: SOCK_NONBLOCK.
[[nodiscard]] Result<std::pair<Fd, Fd>> make_socket_pair(int flags = 0);

/// The other end of a pipe or socket is gone for good; of a socket that was only shut down for writing it is not.
[[nodiscard]] bool hung_up(FdRef fd) noexcept;

}  // namespace pcivm
