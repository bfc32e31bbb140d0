// SPDX-License-Identifier: GPL-2.0-or-later
// Whether a function is what the configuration expects of its device. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "sriov/host_config.hpp"
#include "sriov/host_plan.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::sriov {

/// "unexpected": `function` is not what `expect` says of the device.
[[nodiscard]] std::optional<PlanProblem> unexpected(const DeviceEntry& device, const FunctionState& function);

/// `wanted` is the whole text, or ">=1.2": then the first dotted number of `found` counts, part by part, missing ones
/// being 0.
[[nodiscard]] bool firmware_fits(std::string_view found, std::string_view wanted);

}  // namespace pcivm::sriov
