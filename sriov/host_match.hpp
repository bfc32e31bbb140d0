// SPDX-License-Identifier: GPL-2.0-or-later
// Which function of this host each device of the configuration is. Pure.
#pragma once

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

}  // namespace pcivm::sriov
