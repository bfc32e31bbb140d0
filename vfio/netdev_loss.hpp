// SPDX-License-Identifier: GPL-2.0-or-later
// What a network interface loses when its function is taken from its driver: said before it happens, because the native
// driver makes a new interface at release and nobody remembers what the old one was given.
#pragma once

#include <optional>
#include <string>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// "eth2 goes with what it has: up, mtu 9000, 192.0.2.1; release brings the interface back without these". Nothing when
/// there is no interface, or it has nothing but what its driver gave it.
[[nodiscard]] std::optional<std::string> netdev_loss(const SysRoot& root, Bdf function);

}  // namespace pcivm::vfio
