// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that the commands say about one PCI function, and its JSON form (docs/schema/device.json).
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/json.hpp"
#include "iommu/assignable.hpp"
#include "iommu/device_record.hpp"
#include "iommu/group.hpp"
#include "iommu/pci_names.hpp"
#include "iommu/sharing.hpp"

namespace pcivm::cli {

struct DeviceFacts {
  iommu::FunctionDetail function;
  std::vector<iommu::InUse> users;
  iommu::Assignable assignable;
  bool has_vf_token{};  ///< vfio/vf_token.hpp
};

/// What is told of one function alone.
struct DeviceDetails {
  iommu::DeviceRecord record;
  std::optional<iommu::Group> group;  ///< none = in no group
  std::vector<iommu::SharingReason> sharing;
};

/// Of one function; Errc::not_found as iommu::find.
[[nodiscard]] Result<DeviceFacts> device_facts(const SysRoot& root, Bdf address);
/// Of all functions, reading the host once.
[[nodiscard]] Result<std::vector<DeviceFacts>> all_device_facts(const SysRoot& root);

/// Reads what takes long; each part that may block is given up after `deadline`.
[[nodiscard]] DeviceDetails device_details(const SysRoot& root, const iommu::FunctionDetail& function,
                                           std::chrono::milliseconds deadline);

[[nodiscard]] Json to_json(const DeviceFacts& facts, const iommu::PciNames& names);

[[nodiscard]] Json details_json(const DeviceDetails& details);
/// Of a group, for its own document and that of a device.
[[nodiscard]] Json members_json(const iommu::Group& group);
[[nodiscard]] Json sharing_json(const std::vector<iommu::SharingReason>& sharing);

/// "8086:10ca"
[[nodiscard]] std::string id_of(const iommu::Function& function);
/// "Intel Corporation 82576 Virtual Function"; numbers for what has no name.
[[nodiscard]] std::string full_name(const iommu::PciNames& names, const iommu::Function& function);
/// The same for tables: "Intel 82576 Virtual Function".
[[nodiscard]] std::string short_name(const iommu::PciNames& names, const iommu::Function& function);

}  // namespace pcivm::cli
