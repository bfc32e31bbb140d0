// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/ethtool.hpp"

#include <linux/sockios.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

constexpr Ioctl<ifreq> kEthtool{"SIOCETHTOOL", SIOCETHTOOL};

}  // namespace

Result<void> ethtool(IoctlPort& port, const std::string& netdev, void* command) {
  ifreq request{};
  if (netdev.empty() || netdev.size() >= sizeof request.ifr_name) {
    return fail(Errc::invalid, fmt::format("'{}' cannot be the name of an interface", netdev));
  }
  const int raw = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (raw < 0) return fail_errno(errno, "socket for ethtool");
  const auto socket = Fd::adopt(raw);
  netdev.copy(static_cast<char*>(request.ifr_name), netdev.size());
  request.ifr_data = static_cast<char*>(command);
  TRY(kEthtool(port, socket.ref(), request));
  return {};
}

}  // namespace pcivm::iommu
