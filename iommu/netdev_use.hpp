// SPDX-License-Identifier: GPL-2.0-or-later
// What of the host's networking stands on which interface: addresses, default routes, masters, VLANs and the session
// that runs this command.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"
#include "iommu/ip_routes.hpp"

namespace pcivm::iommu {

/// Facts of the whole host, read once. Of the network namespace of this process only.
class NetworkUse final {
 public:
  [[nodiscard]] static NetworkUse read(const SysRoot& root);

  /// Users of one interface, with chains like "default route -> br0 -> eth2".
  [[nodiscard]] std::vector<InUse> of(const SysRoot& root, const std::string& netdev) const;

 private:
  struct Reason {
    std::string kind;  ///< "route" or "ssh"
    std::string text;
  };
  void add_ssh(const SysRoot& root, const std::vector<Route>& table);

  std::map<std::string, std::vector<Reason>> leaving_;         ///< by the interface that the route names
  std::map<std::string, std::vector<std::string>> addresses_;  ///< by interface
};

}  // namespace pcivm::iommu
