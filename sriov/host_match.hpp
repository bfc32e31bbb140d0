// SPDX-License-Identifier: GPL-2.0-or-later
// Which function of this host each device of the configuration is. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "sriov/host_config.hpp"
#include "sriov/host_plan.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::sriov {

struct Matches {
  std::vector<Resolved> devices{};  ///< one a device of the configuration; without function: a problem says why
  /// "no-match": no function fits all that is named; "ambiguous": several do; "is-vf"; "same-function": two devices are
  /// one function; "unexpected": it is not what `expect` says.
  std::vector<PlanProblem> problems{};
};

/// Every device to exactly one function, each function to at most one device.
[[nodiscard]] Matches match_devices(const HostConfig& config, const HostState& state);

/// `wanted` is the whole text, or ">=1.2": then the first dotted number of `found` counts, part by part, missing ones
/// being 0.
[[nodiscard]] bool firmware_fits(std::string_view found, std::string_view wanted);

}  // namespace pcivm::sriov
