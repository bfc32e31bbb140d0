// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/apply_step.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sriov/pf_link.hpp"

namespace pcivm::sriov {

namespace {

bool is_vf(const SysRoot& root, Bdf function) { return root.exists(vfio::directory_of(function) + "/physfn"); }

std::string driver_of(const SysRoot& root, Bdf function) {
  return root.link_name(vfio::directory_of(function) + "/driver");
}

struct CarryOut {
  const StepTools& tools;
  std::span<const PlanStep> steps;
  Bdf function{steps.front().function};

  Result<void> operator()(const MakeVfs& make) const {
    // recreate() keeps the settings of the former VFs where none are named, and needs another number.
    const auto kept = TRY(AdapterTrail::kept_settings(tools.host.root, function));
    const bool to_none = make.settings.empty() && !kept.empty();
    if (make.former != 0 && (make.former == make.targets.size() || to_none)) TRY(remove());
    const CreateRequest request{.physical = function,
                                .targets = make.targets,
                                .autoprobe_after = make.autoprobe_after,
                                .force = tools.force,
                                .settings = make.settings,
                                .allow_recreate = make.former != 0,
                                .port = tools.port,
                                .eswitch = make.eswitch,
                                .adapters = tools.adapters};
    TRY(create(tools.host, tools.lock, request));
    return {};
  }
  Result<void> operator()(const RemoveVfs& /*step*/) const { return remove(); }
  Result<void> operator()(const SetVf& /*first*/) const {
    auto* const port = TRY(live_port());
    std::vector<SetRequest> requests;
    for (const auto& step : steps) {
      const auto& change = std::get<SetVf>(step.action);
      requests.push_back({.physical = function, .index = change.index, .wish = change.wish});
    }
    TRY(set_all(tools.host, tools.lock, *port, requests));
    return {};
  }
  Result<void> operator()(const SetDriver& step) const {
    if (step.driver && !step.driver->empty() && step.lasting) return bind(step);
    std::vector<vfio::ReleaseRequest> requests;
    for (const auto each : step.functions) {
      requests.push_back({.function = each,
                          .driver = step.driver,
                          .force = tools.force,
                          .settings = step.settings,
                          .to_native = true});
    }
    TRY(vfio::release_all(tools.host, tools.lock, requests));
    return {};
  }
  Result<void> operator()(const SetEswitch& step) const {
    auto* const port = TRY(live_port());
    TRY(change_eswitch(tools.host, tools.lock, *port, function, step.wish));
    return {};
  }
  Result<void> operator()(const SetLink& step) const {
    if (step.autoprobe) TRY(set_autoprobe(tools.host, function, *step.autoprobe));
    if (step.mtu) TRY(set_mtu(tools.host, function, *step.mtu));
    if (step.up == false) TRY(vfio::refuse_in_use(tools.host, function, tools.force));
    if (step.up) TRY(set_up(tools.host, function, *step.up));
    return {};
  }

  Result<VfPort*> live_port() const {
    if (tools.port != nullptr) return tools.port;
    return fail(Errc::kernel, "what a PF's driver enforces can be changed on the live host only");
  }
  Result<void> remove() const {
    TRY(destroy(tools.host, tools.lock, {.physical = function, .force = tools.force, .adapters = tools.adapters}));
    return {};
  }
  Result<void> bind(const SetDriver& step) const {
    std::vector<vfio::BindRequest> requests;
    for (const auto each : step.functions) {
      // A VF without a record goes back to its native driver.
      requests.push_back({.function = each,
                          .driver = *step.driver,
                          .force = tools.force,
                          .remember = !is_vf(tools.host.root, each),
                          .settings = step.settings});
    }
    TRY(vfio::bind_all(tools.host, tools.lock, requests));
    return {};
  }
};

void add_taken(const SysRoot& root, const PlanStep& step, std::vector<Bdf>& taken) {
  const auto add = [&taken](Bdf function) {
    if (std::ranges::find(taken, function) == taken.end()) taken.push_back(function);
  };
  const auto* make = std::get_if<MakeVfs>(&step.action);
  if (std::holds_alternative<RemoveVfs>(step.action) || (make != nullptr && make->former != 0)) {
    std::ranges::for_each(vfs_of(root, step.function), add);
  }
  if (const auto* set = std::get_if<SetDriver>(&step.action)) {
    for (const auto function : set->functions) {
      const auto driver = driver_of(root, function);
      const bool stays = set->driver ? *set->driver == driver : !driver.empty() && !vfio::is_vfio_driver(driver);
      if (root.exists(vfio::directory_of(function)) && !stays) add(function);
    }
  }
  if (const auto* link = std::get_if<SetLink>(&step.action); link != nullptr && link->up == false) add(step.function);
}

}  // namespace

std::size_t joint(std::span<const PlanStep> steps) {
  const auto together = [&](const PlanStep& step) {
    return std::holds_alternative<SetVf>(step.action) && step.function == steps.front().function;
  };
  const auto end = std::ranges::find_if_not(steps, together);
  return std::max(static_cast<std::size_t>(end - steps.begin()), std::min<std::size_t>(steps.size(), 1));
}

Result<void> carry_out(const StepTools& tools, std::span<const PlanStep> steps) {
  return std::visit(CarryOut{.tools = tools, .steps = steps}, steps.front().action);
}

Result<void> refuse_in_use(const StepTools& tools, std::span<const PlanStep> steps) {
  std::vector<Bdf> taken;
  for (const auto& step : steps) add_taken(tools.host.root, step, taken);
  std::string holders;
  std::string hint;
  for (const auto function : taken) {
    auto free = vfio::refuse_in_use(tools.host, function, tools.force);
    if (free) continue;
    if (free.error().kind() != Errc::busy) return free;
    holders += (holders.empty() ? "" : "; ") + free.error().text();
    hint = free.error().hint();
  }
  if (holders.empty()) return {};
  return fail(Error::make(Errc::busy, "nothing was touched: " + holders).coded("device.in_use").advise(hint));
}

}  // namespace pcivm::sriov
