// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

constexpr const char* kAllSettings{"what passthrough says"};

using Functions = std::vector<const FunctionState*>;

vfio::Settings wanted_settings(const PassthroughEntry& wish) {
  vfio::Settings settings;
  if (!wish.reset_methods.empty()) settings["reset_method"] = fmt::to_string(fmt::join(wish.reset_methods, " "));
  if (wish.d3cold) settings["d3cold_allowed"] = std::string(1, *wish.d3cold ? '1' : '0');
  if (wish.power) settings["power/control"] = *wish.power;
  return settings;
}

std::string_view key_of(std::string_view file) {
  if (file == "reset_method") return "passthrough.resetMethod";
  if (file == "d3cold_allowed") return "passthrough.d3cold";
  return "passthrough.power";
}

std::string as_in_a_file(std::string_view file, const std::string& value) {
  return file == "d3cold_allowed" ? on_off(value == "1") : value;
}

/// "reset_method bus" for each that is otherwise.
std::vector<std::string> other_settings(Draft& draft, const vfio::Settings& wanted) {
  std::vector<std::string> drifts;
  const auto& place = draft.device.passthrough->place;
  for (const auto& [file, value] : wanted) {
    const auto found = draft.function.settings.find(file);
    if (found == draft.function.settings.end()) {
      draft.refuse(place, "no-setting", fmt::format("{} has no {} to set to '{}'", draft.name(), file, value),
                   fmt::format("take {} out of {}", key_of(file), draft.device.name));
      continue;
    }
    if (draft.compare(std::string{key_of(file)}, as_in_a_file(file, value), as_in_a_file(file, found->second), place)) {
      drifts.push_back(fmt::format("{} '{}'", file, value));
    }
  }
  return drifts;
}

// Who had the function before pcivm is known by name; otherwise the kernel must find its driver.
DriverWish by_name(const FunctionState& function, DriverWish wish) {
  if (wish.driver || !function.bound_by_pcivm) return wish;
  return {.driver = function.native_driver, .lasting = false};
}

bool function_is_at(const FunctionState& function, const DriverWish& wish) {
  // A function that nothing of pcivm holds is the host's, whether the host has a driver for it or not.
  if (wish.driver) return is_at(function.driver, wish);
  return !function.bound_by_pcivm && function.driver.driver_override.empty() && !given_away(function.driver.driver);
}

std::string move_text(const std::vector<Bdf>& functions, const DriverWish& wish) {
  std::vector<std::string> names;
  for (const auto each : functions) names.push_back(each.to_string());
  const auto all = fmt::to_string(fmt::join(names, ", "));
  if (!wish.driver) return fmt::format("give {} back to its host driver", all);
  if (wish.driver->empty()) return fmt::format("take {} from its driver", all);
  return fmt::format("{} {} to {}", wish.lasting ? "bind" : "give", all, *wish.driver);
}

void add_risks(PlanStep& step, const Functions& functions) {
  for (const auto* each : functions) {
    const auto& driver = each->driver.driver;
    if (!driver.empty() && !given_away(driver)) step.risks.push_back(driver_risk(each->netdev, driver));
  }
}

void move(Draft& draft, Around& around, const Functions& functions, const DriverWish& wish,
          const vfio::Settings& settings, const std::string& reason) {
  std::vector<Bdf> addresses;
  for (const auto* each : functions) addresses.push_back(each->address);
  auto& step =
      draft.add(Phase::driver,
                SetDriver{.functions = addresses, .driver = wish.driver, .lasting = wish.lasting, .settings = settings},
                move_text(addresses, wish), reason);
  add_risks(step, functions);
  for (const auto address : addresses) around.moved[address] = wish.driver.value_or("host");
  if (std::ranges::find(functions, &draft.function) != functions.end()) draft.driver_moves = true;
}

// ---- the other functions of the group ----

void refuse_conflict(Draft& draft, const FunctionState& member, const DeviceEntry& other) {
  const auto& wish = *draft.device.passthrough;
  if (other.passthrough && other.passthrough->bind == wish.bind) return;
  draft.refuse(wish.place, "group-conflict",
               fmt::format("{} takes its whole group, but {} of that group is {} ({}), which wants something else",
                           draft.device.name, member.address.to_string(), other.name, to_string(other.place)),
               fmt::format("give both the same bind, or take group: whole out of {}", draft.device.name));
}

// Members whose drivers leave DMA to user space without being VFIO's (pcieport) stand in nobody's way.
bool in_scope(const FunctionState& member) {
  return vfio::is_vfio_driver(member.driver.driver) || !given_away(member.driver.driver);
}

Functions other_members(Draft& draft, const Around& around) {
  const auto& wish = *draft.device.passthrough;
  Functions members;
  if (!draft.function.iommu_group) {
    draft.refuse(wish.place, "no-iommu", fmt::format("{} has no IOMMU group to take as a whole", draft.name()),
                 "switch on VT-d or AMD-Vi in the firmware; pcivm doctor");
    return members;
  }
  for (const auto& each : draft.state.functions) {
    if (each.iommu_group != draft.function.iommu_group || each.address == draft.function.address) continue;
    if (!in_scope(each)) continue;
    const auto other = around.devices.find(each.address);
    if (other != around.devices.end()) refuse_conflict(draft, each, *other->second);
    if (each.pf && !each.pf->vfs.empty()) {
      draft.refuse(wish.place, "group-has-vfs",
                   fmt::format("{} is in the group of {} and has {} VFs", each.address.to_string(), draft.name(),
                               each.pf->vfs.size()),
                   fmt::format("pcivm vf destroy {}", each.address.to_string()));
    }
    members.push_back(&each);
  }
  return members;
}

Functions due_members(Draft& draft, const Around& around, const DriverWish& wish) {
  Functions due;
  const auto members = other_members(draft, around);
  for (const auto* each : members) {
    if (!function_is_at(*each, wish)) due.push_back(each);
  }
  draft.compare("passthrough.group", "whole",
                due.empty() ? "whole" : fmt::format("{} of {} others elsewhere", due.size(), members.size()),
                draft.device.passthrough->place);
  std::erase_if(due, [&](const auto* each) { return around.moved.contains(each->address); });
  return due;
}

// A driver that pcivm remembers is remembered again only when the function goes through it.
void restore_memory(Draft& draft, Around& around, const FormerDriver& former, const std::string& reason) {
  const auto& function = draft.function;
  if (!former.native || former.state.driver_override.empty()) return;
  const auto& now = function.bound_by_pcivm ? function.native_driver : function.driver.driver;
  if (now == *former.native) return;
  move(draft, around, {&function}, {.driver = *former.native, .lasting = false}, {}, reason);
}

void only_settings(Draft& draft, const DriverWish& at, const vfio::Settings& settings, const std::string& what) {
  const auto& address = draft.function.address;
  draft.add(Phase::driver,
            SetDriver{.functions = {address}, .driver = at.driver, .lasting = at.lasting, .settings = settings},
            fmt::format("set {} of {}", what, address.to_string()),
            fmt::format("{} wants {}", where(draft.device.passthrough->place), what));
}

// As it is, for a step that is about its settings only.
DriverWish as_it_is(const vfio::DriverState& now) { return is_at(now, DriverWish{}) ? DriverWish{} : driver_wish(now); }

bool memory_differs(const FunctionState& function, const std::optional<FormerDriver>& former) {
  return former && former->native && function.bound_by_pcivm && function.native_driver != *former->native;
}

}  // namespace

void plan_passthrough(Draft& draft, Around& around) {
  const auto& wish = *draft.device.passthrough;
  const auto& function = draft.function;
  check_pool(draft, wish.pool, wish.place);
  const auto settings = wanted_settings(wish);
  const auto drifts = other_settings(draft, settings);
  const auto wanted = wish.former ? driver_wish(wish.former->state) : driver_wish(wish.bind);
  const bool there = function_is_at(function, wanted) && !memory_differs(function, wish.former);
  const auto bind = wish.former ? bind_text(wish.former->state) : wish.bind;
  draft.compare("passthrough.bind", bind, there ? bind : bind_text(function.driver), wish.place);
  const auto reason = reason_text(wish.place, "bind", bind, bind_text(function.driver));
  Functions due;
  if (wish.whole_group) due = due_members(draft, around, wanted);
  const bool moves = !there && !around.moved.contains(function.address);
  if (moves) due.insert(due.begin(), &function);
  if (moves && function.pf && !function.pf->vfs.empty() && !draft.device.sriov) add_removal(draft, reason);
  if (moves && wish.former) restore_memory(draft, around, *wish.former, reason);
  if (due.size() > 1 && wanted.driver && !wanted.driver->empty()) {
    // One transaction; settings are those of one function only.
    std::ranges::sort(due, {}, [](const auto* each) { return each->address; });
    move(draft, around, due, wanted, {}, reason);
    if (moves && !settings.empty()) only_settings(draft, wanted, settings, kAllSettings);
  } else {
    for (const auto* each : due) {
      move(draft, around, {each}, by_name(*each, wanted), each == &function ? settings : vfio::Settings{}, reason);
    }
  }
  if (there && !drifts.empty()) {
    only_settings(draft, as_it_is(function.driver), settings, fmt::to_string(fmt::join(drifts, ", ")));
  }
  // With the group of another device, in a step that knows nothing of these; probing changes some of them.
  if (!there && !moves && !settings.empty()) only_settings(draft, wanted, settings, kAllSettings);
}

void plan_return(Draft& draft) {
  const auto& function = draft.function;
  if (draft.driver_moves || function_is_at(function, DriverWish{})) return;
  Around alone;
  move(draft, alone, {&function}, by_name(function, DriverWish{}), {},
       fmt::format("{} wants VFs, and {} is bound to {}", where(draft.device.sriov->place), draft.name(),
                   shown(function.driver.driver)));
}

}  // namespace pcivm::sriov
