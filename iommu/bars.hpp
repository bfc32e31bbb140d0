// SPDX-License-Identifier: GPL-2.0-or-later
// The BARs of a function alone, for a start in a hurry: the rest of its record is a hundred system calls more, and a
// thousand accesses to its configuration space.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

/// As FunctionDetail::bars, but for the sizes that they could have. Errc::not_found for an absent function.
[[nodiscard]] Result<std::vector<Bar>> read_bars(const SysRoot& root, Bdf address);

}  // namespace pcivm::iommu
