// SPDX-License-Identifier: GPL-2.0-or-later
// Default routes of all of the kernel's IPv4 tables: /proc/net/route shows the main one only.
#pragma once

#include <string>
#include <vector>

namespace pcivm::iommu {

struct TableDefault {
  std::string netdev{};
  unsigned table{};  ///< 254 is main
};

/// Asked by rtnetlink (rtnetlink(7), RTM_GETROUTE) of the live kernel, in this process' network namespace; routes over
/// several next hops give one entry each. Empty when the kernel does not answer.
[[nodiscard]] std::vector<TableDefault> default_routes_of_all_tables();

}  // namespace pcivm::iommu
