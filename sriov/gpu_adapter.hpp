// SPDX-License-Identifier: GPL-2.0-or-later
// GPUs whose driver keeps the profiles of VFs in files (gpu_layout.hpp), and AMD's, whose driver makes its VFs itself.
#pragma once

#include <vector>

#include "sriov/gpu_layout.hpp"
#include "sriov/pf_adapter.hpp"

namespace pcivm::sriov {

/// Its values are the files, by absolute path. A driver that rounds a quota makes the creation fail, and the error says
/// the value to ask for.
[[nodiscard]] AdapterKind gpu_adapter(const GpuLayout& layout);

/// AMD GIM: VFs appear when the module is loaded, so they cannot be made or removed here; this says so.
[[nodiscard]] AdapterKind gim_adapter();

}  // namespace pcivm::sriov
