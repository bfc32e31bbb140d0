// SPDX-License-Identifier: GPL-2.0-or-later
// The network interface of a PF, as far as its VFs depend on it: MTU, and whether it is up. Written by sysfs, read
// back.
#pragma once

#include "sriov/physical_function.hpp"

namespace pcivm::sriov {

/// Errc::kernel when the PF has no interface here, or the driver does not keep what it accepted.
[[nodiscard]] Result<void> set_mtu(const vfio::Host& host, Bdf physical, unsigned mtu);
[[nodiscard]] Result<void> set_up(const vfio::Host& host, Bdf physical, bool up);

}  // namespace pcivm::sriov
