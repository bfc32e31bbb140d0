// SPDX-License-Identifier: GPL-2.0-or-later
// What configuration space and the `resource` file of sysfs say about a function. Pure; nothing in there is trusted.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "iommu/function.hpp"

namespace pcivm::iommu {

/// Takes up BARs, and with function.sriov set those of its VFs, from the text of `resource`.
void apply_resources(std::string_view text, FunctionDetail& function);

/// Takes up what the header and the capabilities say: after apply_resources, whose BARs it completes. Of an image of
/// 64 bytes only the header: that no capability can be seen is not the same as none.
void apply_config(std::span<const std::byte> image, FunctionDetail& function);

}  // namespace pcivm::iommu
