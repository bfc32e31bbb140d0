// SPDX-License-Identifier: GPL-2.0-or-later
// May this function be given to this driver? Reads only.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::vfio {

/// Refuses bridges, functions that vfio-pci denies (drivers/vfio/pci/vfio_pci.c), PFs with VFs, functions without an
/// IOMMU group, and, unless their kind is in `force`, functions in use. The checks for VFIO apply to its drivers only.
[[nodiscard]] Result<void> check_bindable(const Host& host, Bdf function, std::string_view driver,
                                          const std::vector<std::string>& force);

/// Errc::refused, naming them, when a group of `functions` has other members whose native drivers keep user space from
/// owning it: opening any member would fail with EPERM.
[[nodiscard]] Result<void> check_groups(const SysRoot& root, std::span<const Bdf> functions);

/// Errc::invalid when `driver` cannot be a driver's name.
[[nodiscard]] Result<void> check_driver_name(std::string_view driver);

/// Loads what `driver` needs. Errc::kernel when it cannot be had.
[[nodiscard]] Result<void> ensure_driver(const SysRoot& root, std::string_view driver);

/// Waits until the node by which user space opens the function is there: /dev/vfio/GROUP, or the cdev.
[[nodiscard]] Result<void> await_vfio_node(const Host& host, Bdf function);

}  // namespace pcivm::vfio
