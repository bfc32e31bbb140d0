// SPDX-License-Identifier: GPL-2.0-or-later
// The BARs of a device of which sysfs has none to tell: one that a process serves, a mediated device.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "iommu/function.hpp"
#include "vfio/device.hpp"

namespace pcivm::vfio {

/// As its regions and registers have them. Errc::kernel: sizes or kinds that no PCI device has.
[[nodiscard]] Result<std::vector<iommu::Bar>> bars_of(const Device& device);

}  // namespace pcivm::vfio
