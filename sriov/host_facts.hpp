// SPDX-License-Identifier: GPL-2.0-or-later
// What tells functions apart that sysfs does not keep with the function itself: read once for all functions of a host.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "iommu/slots.hpp"
#include "iommu/vpd.hpp"
#include "sriov/host_state.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::sriov {

class HostFacts final {
 public:
  /// Never fails: what cannot be read is not told. `port` may be null.
  [[nodiscard]] static HostFacts read(const vfio::Host& host, VfPort* port);

  /// The interface that is not a representor; empty = none here.
  [[nodiscard]] std::string netdev_of(const SysRoot& root, Bdf function) const;
  /// Fills permanent addresses, serials, NVMe names, slot, path, firmware and netdev. Of a card that does not answer,
  /// VPD is given up after the host's read_deadline.
  void tell(const vfio::Host& host, iommu::VpdReader& vpd, FunctionState& function) const;

 private:
  std::map<Bdf, std::vector<std::string>> netdevs_{};
  std::map<Bdf, std::vector<std::string>> drives_{};
  std::map<std::string, PermanentAddress> addresses_{};  // by interface
  iommu::PhysicalSlots slots_{};
};

/// "3.16, 0x800004ff", as ethtool -i shows it; empty when the driver does not tell, or `ioctls` is null.
[[nodiscard]] std::string interface_firmware(IoctlPort* ioctls, const std::string& interface);

}  // namespace pcivm::sriov
