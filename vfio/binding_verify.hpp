// SPDX-License-Identifier: GPL-2.0-or-later
// What must be true of functions that were just given to a VFIO driver, before that counts as done.
#pragma once

#include <span>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

/// Waits until the node by which user space opens the function is there: /dev/vfio/GROUP, or the cdev. Errc::kernel
/// after two seconds.
[[nodiscard]] Result<void> await_vfio_node(const Host& host, Bdf function);

/// Wakes the function to D0 by a read of its configuration space and sees that it answers. Errc::kernel when all bits
/// read as one: it does not come back from D3, or is dead. Errc::timeout when the read does not return.
[[nodiscard]] Result<void> check_answers(const Host& host, Bdf function);

/// With power/control "on" among `settings` the function must get to D0 and stay there: Errc::kernel after two seconds
/// of another power state. vfio-pci suspends idle functions to D3hot otherwise, by a module parameter for all devices.
[[nodiscard]] Result<void> check_power(const Host& host, Bdf function, const Settings& settings);

/// Asks the kernel whether user space may own the groups of `functions` (VFIO_GROUP_GET_STATUS), where sysfs says that
/// no native driver is in the way. Errc::refused, naming the group, when not. A group that somebody has open is viable.
[[nodiscard]] Result<void> check_viable(const Host& host, std::span<const Bdf> functions);

}  // namespace pcivm::vfio
