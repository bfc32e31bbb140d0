// SPDX-License-Identifier: GPL-2.0-or-later
// Kernel modules, through libkmod.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// Loads a module by name or alias with what it depends on; already there or built in is success. Other roots than the
/// live host have no kernel to load into: there it does nothing. Errc::kernel when there is no such module or the
/// kernel refuses it.
[[nodiscard]] Result<void> load_module(const SysRoot& root, std::string_view name_or_alias);

}  // namespace pcivm::vfio
