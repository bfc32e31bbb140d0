// SPDX-License-Identifier: GPL-2.0-or-later
// What the host offers for assignment: IOMMU, interrupt remapping, VFIO, KVM.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::iommu {

enum class IommuKind : std::uint8_t { none, vtd, amdvi, other };
enum class Answer : std::uint8_t { no, yes, unknown };

struct HostCaps {
  IommuKind iommu{IommuKind::none};
  std::vector<std::string> iommu_units{};  ///< "dmar0", "ivhd0"
  /// Without it a device can raise any interrupt vector of the host by a DMA write, so VFIO refuses assignment
  /// (drivers/vfio/vfio_iommu_type1.c, iommu_group_has_isolated_msi) unless told otherwise.
  Answer interrupt_remapping{Answer::unknown};
  bool unsafe_interrupts_allowed{false};  ///< vfio_iommu_type1.allow_unsafe_interrupts
  bool vfio_loaded{false};                ///< vfio-pci and a VFIO back end are there
  bool vfio_available{false};             ///< loaded, or a module of the running kernel
  bool iommufd{false};                    ///< /dev/iommu
  bool kvm{false};                        ///< /dev/kvm
};

[[nodiscard]] std::string_view to_string(IommuKind kind);

/// Never fails: what cannot be read counts as absent or unknown. No privilege needed.
[[nodiscard]] HostCaps read_host_caps(const SysRoot& root);

}  // namespace pcivm::iommu
