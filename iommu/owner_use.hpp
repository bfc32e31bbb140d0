// SPDX-License-Identifier: GPL-2.0-or-later
// Other managers that were told to look after a function: driverctl and libvirt.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// driverctl's persistent overrides (/etc/driverctl.d) and libvirt's running domains (/run/libvirt/qemu/*.xml), read
/// once.
class OwnerUse final {
 public:
  [[nodiscard]] static OwnerUse read(const SysRoot& root);

  [[nodiscard]] std::vector<InUse> of(const SysRoot& root, Bdf address) const;

 private:
  std::map<std::string, std::string> overrides_{};              ///< driver by address
  std::vector<std::pair<std::string, std::string>> domains_{};  ///< name and XML
  std::vector<std::string> network_states_{};                   ///< files of libvirt's hostdev manager
};

}  // namespace pcivm::iommu
