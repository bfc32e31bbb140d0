// SPDX-License-Identifier: GPL-2.0-or-later
// How many interrupt vectors a VF has, for PFs that share out a pool of them: sriov_vf_total_msix and
// sriov_vf_msix_count (Documentation/ABI/testing/sysfs-bus-pci; mlx5_core and ice offer it in 6.12).
#pragma once

#include <cstdint>
#include <optional>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::sriov {

/// What the PF has to share out; 0 = it does not.
[[nodiscard]] std::uint32_t msix_pool(const SysRoot& root, Bdf physical);
/// The table size in the VF's MSI-X capability, which is what the kernel changes. Nothing when it cannot be read.
[[nodiscard]] std::optional<std::uint32_t> msix_count(const SysRoot& root, Bdf vf);

/// Errc::kernel when the PF does not share out vectors, invalid when it has not so many, busy while a driver has the
/// VF.
[[nodiscard]] Result<void> check_msix_count(const SysRoot& root, Bdf physical, Bdf vf, std::uint32_t count);
/// After these checks: writes; 0 = the device's own number. What the kernel answers is explained.
[[nodiscard]] Result<void> set_msix_count(const vfio::Host& host, Bdf physical, Bdf vf, std::uint32_t count);

}  // namespace pcivm::sriov
