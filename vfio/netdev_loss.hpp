// SPDX-License-Identifier: GPL-2.0-or-later
// What a network interface loses when its function is taken from its driver, said before it happens, and what of that
// is put back when the native driver makes a new interface.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/journal.hpp"

namespace pcivm::vfio {

/// "eth2 goes with what it has: up, mtu 9000, 192.0.2.1; release puts back up, mtu 9000 only". Nothing when there is no
/// interface, or it has nothing but what its driver gave it.
[[nodiscard]] std::optional<std::string> netdev_loss(const SysRoot& root, Bdf function);

/// What can be put back; nothing when the function has no interface, or several.
[[nodiscard]] std::optional<NetdevState> netdev_state(const SysRoot& root, Bdf function);
/// Where the function is back with `driver`: waits a moment for the interface that this makes, and gives it what it had.
/// What is done or cannot be done is told as a note: the function itself is back all the same.
void restore_netdev(const Host& host, Bdf function, std::string_view driver, const NetdevState& state);

}  // namespace pcivm::vfio
