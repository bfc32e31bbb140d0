// SPDX-License-Identifier: GPL-2.0-or-later
// One ethtool command to the driver of a network interface (linux/ethtool.h). It may wait for the lock of all network
// configuration: call it in a child with a deadline where that matters.
#pragma once

#include <string>

#include "base/ioctl.hpp"

namespace pcivm::iommu {

/// `command` is the structure of the command, with its `cmd` set; the driver answers in it. Errc::invalid for a name
/// that no interface can have, else what the driver says (EOPNOTSUPP: it has no such thing).
[[nodiscard]] Result<void> ethtool(IoctlPort& port, const std::string& netdev, void* command);

}  // namespace pcivm::iommu
