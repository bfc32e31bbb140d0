// SPDX-License-Identifier: GPL-2.0-or-later
// In which other network namespace the interface of a function is.
#pragma once

#include <optional>
#include <string>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"

namespace pcivm::iommu {

/// "eth2 in network namespace blue" or "eth2 in the network namespace of pid 812 (containerd)". Asked of the sysfs of
/// each other namespace: of its processes' own mount of it, else, as root on a live host, of one mounted for an instant
/// in a child process. Nothing when it is not found.
[[nodiscard]] std::optional<std::string> interface_in_namespace(const SysRoot& root, Bdf function);

}  // namespace pcivm::iommu
