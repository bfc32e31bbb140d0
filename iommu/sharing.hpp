// SPDX-License-Identifier: GPL-2.0-or-later
// Why functions share an IOMMU group. The kernel decides which do (drivers/iommu/iommu.c, pci_device_group), by the
// same bits and by some hundred exceptions for devices that isolate without saying so, or say so and do not: so a group
// is taken from sysfs and only explained here.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"
#include "iommu/group.hpp"

namespace pcivm::iommu {

struct SharingReason {
  std::optional<Bdf> function{};     ///< who lacks what; none = the group as a whole
  std::vector<std::string> lacks{};  ///< of "SV", "RR", "CR", "UF" (Access Control Services); empty = something else
  std::string text{};                ///< the whole sentence
};

/// A member with its configuration space.
struct SharingMember {
  Bdf address{};
  bool is_vf{};
  std::vector<std::byte> config{};
};

/// Pure. Nothing for a group of one; never nothing for a group of several.
[[nodiscard]] std::vector<SharingReason> sharing_reasons(std::span<const SharingMember> members);

/// The same of a group of this host.
[[nodiscard]] std::vector<SharingReason> sharing_reasons(const SysRoot& root, std::span<const Member> members);

}  // namespace pcivm::iommu
