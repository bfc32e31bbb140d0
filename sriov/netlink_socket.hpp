// SPDX-License-Identifier: GPL-2.0-or-later
// A netlink socket that asks the kernel one thing at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/result.hpp"

struct nl_sock;

namespace pcivm::sriov {

/// Used by one thread.
class NetlinkSocket final {
 public:
  /// `protocol`: NETLINK_ROUTE or NETLINK_GENERIC. The kernel is asked for its own words on errors.
  [[nodiscard]] static Result<NetlinkSocket> open(int protocol);
  /// Sends `request` and gives each datagram of answers to `read` until that returns true.
  [[nodiscard]] Result<void> ask(std::span<const std::byte> request,
                                 const std::function<Result<bool>(std::span<const std::byte>)>& read);
  /// For libnl's own calls.
  [[nodiscard]] nl_sock* handle() { return socket_.get(); }

 private:
  explicit NetlinkSocket(nl_sock* socket);
  std::unique_ptr<nl_sock, void (*)(nl_sock*)> socket_;
};

}  // namespace pcivm::sriov
