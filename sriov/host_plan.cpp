// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_plan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "base/text.hpp"
#include "sriov/host_match.hpp"
#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

const FunctionState* function_at(const HostState& state, Bdf address) {
  const auto found = std::ranges::lower_bound(state.functions, address, {}, &FunctionState::address);
  return found == state.functions.end() || found->address != address ? nullptr : &*found;
}

PlanProblem no_such_device(const HostConfig& config, std::string_view name) {
  std::vector<std::string> known;
  for (const auto& device : config.devices) known.push_back(device.name);
  const auto meant = nearest(name, known);
  return {.device = std::string{name},
          .code = "no-device",
          .text = fmt::format("the configuration has no device {}", name),
          .fix = meant.empty() ? "pcivm plan shows all" : fmt::format("did you mean {}?", meant)};
}

/// All devices of one host.
struct Planning {
  const HostConfig& config;
  const HostState& state;
  Around around{};
  Plan plan{};
  std::vector<std::pair<Phase, PlanStep>> steps{};
  std::vector<const FunctionState*> touched{};

  void device(const DeviceEntry& entry, const FunctionState& function) {
    Draft draft{.config = config, .state = state, .device = entry, .function = function};
    auto moved = around;
    if (entry.passthrough) plan_passthrough(draft, moved);
    if (entry.sriov) plan_sriov(draft);
    std::ranges::move(draft.keys, std::back_inserter(plan.keys));
    if (!draft.problems.empty()) {
      std::ranges::move(draft.problems, std::back_inserter(plan.problems));
      return;
    }
    if (!draft.steps.empty()) touched.push_back(&function);
    around = std::move(moved);
    std::ranges::move(draft.steps, std::back_inserter(steps));
  }

  void order() {
    std::ranges::stable_sort(steps, {}, [](const auto& each) { return each.first; });
    for (auto& [phase, step] : steps) plan.steps.push_back(std::move(step));
  }
};

// Other members of a group that a step moves stand in the step by their address; what they are was planned from too.
void add_members(const Planning& planning, std::vector<const FunctionState*>& touched) {
  for (const auto& step : planning.plan.steps) {
    const auto* driver = std::get_if<SetDriver>(&step.action);
    if (driver == nullptr) continue;
    for (const auto address : driver->functions) {
      const auto* function = function_at(planning.state, address);
      if (function != nullptr && std::ranges::find(touched, function) == touched.end()) touched.push_back(function);
    }
  }
}

std::string id_of(const Planning& planning) {
  auto touched = planning.touched;
  add_members(planning, touched);
  std::ranges::sort(touched, {}, [](const auto* each) { return each->address; });
  auto value = hash_of({});
  for (const auto& step : planning.plan.steps) value = hash_of(canonical(step), value);
  HostState state;
  for (const auto* each : touched) state.functions.push_back(*each);
  value = hash_of(to_record(state).serialize(), value);
  return fmt::format("{:016x}", value);
}

}  // namespace

Plan plan_host(const HostConfig& config, const HostState& state, std::string_view only) {
  Planning planning{.config = config, .state = state};
  auto matches = match_devices(config, state);
  const auto wanted = [&](std::string_view name) { return only.empty() || name == only; };
  for (std::size_t index = 0; index < config.devices.size(); ++index) {
    const auto& function = matches.devices[index].function;
    if (function) planning.around.devices[*function] = &config.devices[index];
  }
  for (auto& problem : matches.problems) {
    if (wanted(problem.device)) planning.plan.problems.push_back(std::move(problem));
  }
  for (std::size_t index = 0; index < config.devices.size(); ++index) {
    auto& resolved = matches.devices[index];
    if (!wanted(resolved.device)) continue;
    if (resolved.function) planning.device(config.devices[index], *function_at(state, *resolved.function));
    planning.plan.devices.push_back(std::move(resolved));
  }
  if (!only.empty() && planning.plan.devices.empty()) planning.plan.problems.push_back(no_such_device(config, only));
  planning.order();
  planning.plan.id = id_of(planning);
  return std::move(planning.plan);
}

}  // namespace pcivm::sriov
