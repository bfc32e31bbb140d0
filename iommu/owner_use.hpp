// SPDX-License-Identifier: GPL-2.0-or-later
// Other managers that were told to look after a function: driverctl and libvirt.
#pragma once

#include <vector>

#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// driverctl's persistent overrides (/etc/driverctl.d) and libvirt's running domains (/run/libvirt/qemu/*.xml).
[[nodiscard]] std::vector<InUse> other_owners(const SysRoot& root, Bdf address);

}  // namespace pcivm::iommu
