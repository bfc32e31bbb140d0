// SPDX-License-Identifier: GPL-2.0-or-later
// Why a kernel call on a function does not return: who waits inside the kernel, and for whom.
#pragma once

#include <string>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// "pid 812 (pcivm vm run web) holds 0000:01:10.0 open; pid 900 (sh) waits in a write to
/// '/sys/bus/pci/drivers/vfio-pci/unbind'". The kernel's device lock is held by the second until the first lets go.
/// Found in /proc/*/fd only, which never blocks. Empty when nobody can be seen.
[[nodiscard]] std::string blockers_of(const SysRoot& root, Bdf function);

/// Of that only who waits, for whichever function.
[[nodiscard]] std::string waiters_of(const SysRoot& root);

}  // namespace pcivm::vfio
