// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that the commands say about one PCI function, and its JSON form (docs/schema/device.json).
#pragma once

#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/json.hpp"
#include "iommu/assignable.hpp"
#include "iommu/pci_names.hpp"

namespace pcivm::cli {

struct DeviceFacts {
  iommu::FunctionDetail function;
  std::vector<iommu::InUse> users;
  iommu::Assignable assignable;
  bool has_vf_token{};  ///< vfio/vf_token.hpp
};

/// Of one function; Errc::not_found as iommu::find.
[[nodiscard]] Result<DeviceFacts> device_facts(const SysRoot& root, Bdf address);
/// Of all functions, reading the host once.
[[nodiscard]] Result<std::vector<DeviceFacts>> all_device_facts(const SysRoot& root);

[[nodiscard]] Json to_json(const DeviceFacts& facts, const iommu::PciNames& names);

/// "8086:10ca"
[[nodiscard]] std::string id_of(const iommu::Function& function);
/// "Intel Corporation 82576 Virtual Function"; numbers for what has no name.
[[nodiscard]] std::string full_name(const iommu::PciNames& names, const iommu::Function& function);
/// The same for tables: "Intel 82576 Virtual Function".
[[nodiscard]] std::string short_name(const iommu::PciNames& names, const iommu::Function& function);

}  // namespace pcivm::cli
