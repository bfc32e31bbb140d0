// SPDX-License-Identifier: GPL-2.0-or-later
// Who uses functions that are taken together.
#pragma once

#include <span>
#include <vector>

#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// users_of() for each of `addresses`, reading the host once: most of that is every descriptor of every process.
[[nodiscard]] Result<std::vector<std::vector<InUse>>> users_of_each(const SysRoot& root,
                                                                    std::span<const Bdf> addresses);

}  // namespace pcivm::iommu
