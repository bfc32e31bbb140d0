// SPDX-License-Identifier: GPL-2.0-or-later
// What the VMM's process may still do once it has all its descriptors: whoever breaks out of the guest finds a process
// that can reach nothing by name.
#pragma once

#include "base/result.hpp"

namespace pcivm::cli {

/// Of the calling process and all it makes later; not to be undone. Before it has threads.
/// - no capability, in no set, and no way to get one (PR_SET_NO_NEW_PRIVS, capabilities(7))
/// - no file by path, no TCP port, and no signal or abstract socket to outside (landlock(7)), as far as the kernel
/// knows
///   of such restrictions; without Landlock what the user may open stays open, which is logged
/// - no core dump, which would be full of the guest's memory
/// What its user may lock of memory is unlimited from then on, if it was root's to say: pinning asked for a capability.
/// Fails as the kernel does; then nothing of it can be relied on.
[[nodiscard]] Result<void> confine_vmm();

}  // namespace pcivm::cli
