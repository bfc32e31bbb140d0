// SPDX-License-Identifier: GPL-2.0-or-later
// The VFIO driver that the running kernel has for a device: vfio-pci, or a variant that adds to it (mlx5_vfio_pci).
#pragma once

#include <string>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// Variants are listed in modules.alias as "vfio_pci:v000015B3d0000101E..." (PCI_DRIVER_OVERRIDE_DEVICE_VFIO in
/// linux/pci.h, scripts/mod/file2alias.c); of those that match the function the one with the fewest wildcards is taken,
/// as the kernel's documentation asks for. None, or no list: "vfio-pci".
[[nodiscard]] Result<std::string> variant_driver(const SysRoot& root, Bdf function);

}  // namespace pcivm::vfio
