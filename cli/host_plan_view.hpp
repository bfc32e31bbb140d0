// SPDX-License-Identifier: GPL-2.0-or-later
// What plan, apply, rollback and status have in common: from files and host to a plan, and how it is shown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/result.hpp"
#include "cli/context.hpp"
#include "cli/json.hpp"
#include "sriov/host_config.hpp"
#include "sriov/host_plan.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::cli {

struct PlanArguments {
  std::vector<std::string> files;
  std::string only;
};
void add_plan_options(CLI::App& command, PlanArguments& args);

struct Planned {
  sriov::HostState state{};
  sriov::Plan plan{};
};
/// `only` is empty, a device's name in the configuration, or the address of a function. Nothing when it is an address
/// that no device of the configuration has; Errc::not_found for an unknown name.
[[nodiscard]] Result<std::optional<Planned>> planned(const vfio::Host& host, sriov::VfPort* port,
                                                     const sriov::HostConfig& config, const std::string& only);
/// The plan when nothing was named that is not there: otherwise Errc::not_found.
[[nodiscard]] Result<Planned> planned_for(const vfio::Host& host, sriov::VfPort* port, const sriov::HostConfig& config,
                                          const std::string& only);

[[nodiscard]] Json place_json(const sriov::Place& place);

/// The steps as a table, with what each risks; or the whole as JSON or YAML (kind Plan).
[[nodiscard]] Result<int> print_plan(Context& context, const sriov::Plan& plan);
/// Says each problem on stderr, unless the output is structured and holds them; the exit code of the first, 0 = none.
[[nodiscard]] int tell_problems(Context& context, const sriov::Plan& plan);

}  // namespace pcivm::cli
