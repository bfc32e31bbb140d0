// SPDX-License-Identifier: GPL-2.0-or-later
// What only a function's own driver tells (permanent MAC, NVMe serial, firmware), kept in /run/pcivm/names/BDF: a
// function that was found by it must be found again while it is given away.
#pragma once

#include "sriov/host_state.hpp"

namespace pcivm::sriov {

/// To be called before functions are given away. Writes only what is new.
[[nodiscard]] Result<void> remember_names(const SysRoot& root, const HostState& state);

/// Fills in what was kept of the same card, when its driver tells nothing now.
void recall_names(const SysRoot& root, FunctionState& function);

}  // namespace pcivm::sriov
