// SPDX-License-Identifier: GPL-2.0-or-later
// May this function be given to this driver? Reads only.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

/// Refuses bridges, functions that vfio-pci denies (drivers/vfio/pci/vfio_pci.c), PFs with VFs, VFs for the host of a
/// PF that is given away, functions without an IOMMU group, and, unless `force` names the check, functions in use, in
/// quarantine or without a proven reset. The checks for VFIO apply to its drivers only.
[[nodiscard]] Result<void> check_bindable(const Host& host, Bdf function, const Target& target,
                                          const std::vector<std::string>& force);

inline constexpr std::string_view kSilentDevice{"device.silent"};
/// Errc::refused when the function is a bridge or has no endpoint's header; Errc::kernel coded kSilentDevice when it
/// does not answer at all.
[[nodiscard]] Result<void> check_endpoint(const SysRoot& root, Bdf function);
/// Errc::busy when the function is a PF with VFs.
[[nodiscard]] Result<void> check_no_vfs(const Host& host, Bdf function);

/// Errc::refused when the function is a VF whose PF is on a VFIO driver and `driver` (not set = the native one) is of the
/// host: whoever has the PF reads and writes what the VF does.
[[nodiscard]] Result<void> check_pf_is_the_hosts(const SysRoot& root, Bdf function,
                                                 const std::optional<std::string>& driver);

/// Errc::refused, naming them, when a group of `functions` has other members whose native drivers keep user space from
/// owning it: opening any member would fail with EPERM.
[[nodiscard]] Result<void> check_groups(const SysRoot& root, std::span<const Bdf> functions);

/// Errc::invalid when `driver` cannot be a driver's name.
[[nodiscard]] Result<void> check_driver_name(std::string_view driver);

/// Loads what `driver` needs. Errc::kernel when it cannot be had.
[[nodiscard]] Result<void> ensure_driver(const SysRoot& root, std::string_view driver);

}  // namespace pcivm::vfio
