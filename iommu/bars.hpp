// SPDX-License-Identifier: GPL-2.0-or-later
// The BARs of a function alone, and where they have its MSI-X structures, for a start in a hurry: the rest of its
// record is a hundred system calls more, and a thousand accesses to its configuration space.
#pragma once

#include <optional>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

/// As FunctionDetail::bars, but for the sizes that they could have. Errc::not_found for an absent function.
[[nodiscard]] Result<std::vector<Bar>> read_bars(const SysRoot& root, Bdf address);

struct Msix {
  unsigned entries{};
  MsixPlace place;
};

/// By the few registers that say so. Nothing without that capability, or where configuration space cannot be read.
[[nodiscard]] std::optional<Msix> read_msix(const SysRoot& root, Bdf address);

}  // namespace pcivm::iommu
