// SPDX-License-Identifier: GPL-2.0-or-later
// What the VMM of a running VM counts, and the document of it: GET /v1/vm/figures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/json.hpp"

namespace pcivm::cli {

/// By name, as vmm::figures_of has them. Not trusted: any name with any number.
using VmFigures = std::vector<std::pair<std::string, std::uint64_t>>;

[[nodiscard]] std::optional<std::uint64_t> value_of(const VmFigures& figures, std::string_view name);

/// Kind VmFigures: `interrupts`, `dma` and `ports`, which are null when the VMM has not answered. `ports`: their names,
/// in order.
[[nodiscard]] Json figures_document(const std::string& vm, const std::vector<std::string>& ports, bool answered,
                                    const VmFigures& figures);

}  // namespace pcivm::cli
