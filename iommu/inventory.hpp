// SPDX-License-Identifier: GPL-2.0-or-later
// Which PCI functions the host has. sysfs only: no library, no process, no privilege.
#pragma once

#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

/// All functions, sorted by address. A function that vanishes while it is read is left out. A host without PCI gives
/// an empty list.
[[nodiscard]] Result<std::vector<Function>> list(const SysRoot& root);

/// One function in short. Errc::not_found with code "device.not_found".
[[nodiscard]] Result<Function> find(const SysRoot& root, Bdf address);

/// Those of `addresses` that there are, in short and in that order.
[[nodiscard]] std::vector<Function> find_all(const SysRoot& root, std::span<const Bdf> addresses);

/// One function in full. Fails as `find`.
[[nodiscard]] Result<FunctionDetail> read_function(const SysRoot& root, Bdf address);

/// All functions in full, as `list`; reads the host's device classes once.
[[nodiscard]] Result<std::vector<FunctionDetail>> list_details(const SysRoot& root);

/// VFs of a PF by index (empty slots never occur while the PF lock is not held by a writer). Empty when it has none.
[[nodiscard]] Result<std::vector<Bdf>> virtual_functions(const SysRoot& root, Bdf physical);

}  // namespace pcivm::iommu
