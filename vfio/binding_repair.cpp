// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "vfio/binding.hpp"
#include "vfio/binding_transaction.hpp"
#include "vfio/netdev_loss.hpp"
#include "vfio/reset.hpp"

namespace pcivm::vfio {

namespace {

std::string named(std::string_view driver) { return driver.empty() ? "no driver" : std::string{driver}; }

Target release_target(const Record& record) {
  Target target{.driver = {}, .driver_override = record.get("override")};
  if (record.has("driver")) target.driver = record.get("driver");
  if (record.has("former_autoprobe")) target.autoprobe = record.get("former_autoprobe") == "1";
  return target;
}

Result<std::string> settle(const Host& host, Bdf function, const Target& target) {
  auto now = TRY(situation(host, function));
  now.settings = TRY(read_settings(host, function, target.settings));
  const auto steps = plan(now, target);
  for (const auto& step : steps) {
    if (step.kind == StepKind::unbind) TRY(refuse_in_use(host, function, {}));
    TRY(apply(host, step));
  }
  const auto after = TRY(situation(host, function));
  return after.state.driver;
}

// Without a readable record the truth decides: a function with a driver stays with it, one without is given to whoever
// the kernel finds.
Result<std::string> settle_unknown(const Host& host, Bdf function) {
  const auto now = TRY(situation(host, function));
  if (is_vfio_driver(now.state.driver)) return fmt::format("left with {}", now.state.driver);
  Target target{.driver = {}, .driver_override = {}};
  if (!now.state.driver.empty()) target.driver = now.state.driver;
  const auto driver = TRY(settle(host, function, target));
  return fmt::format("left with {}", named(driver));
}

bool bound_to(const Host& host, Bdf function, const std::string& driver, const Settings& changed) {
  const auto now = situation(host, function);
  const auto identity = identity_of(host.root, function);
  const auto bound = load_bound(host.root, function);
  if (!now || !identity || !bound || bound->identity != *identity) return false;
  const bool remembered =
      std::ranges::all_of(changed, [&](const auto& one) { return bound->former_settings.contains(one.first); });
  return remembered && now->state == DriverState{.driver = driver, .driver_override = driver};
}

// All functions of the transaction are where they were to go, and remembered: only the entries' end was missed.
bool completed(const Host& host, Bdf function, const Record& record) {
  const auto changed = settings_in(record);
  if (!record.has("members")) return bound_to(host, function, record.get("driver"), changed);
  std::istringstream members{record.get("members")};
  for (std::string member; members >> member;) {
    const auto equals = member.find('=');
    const auto address = Bdf::parse(member.substr(0, equals));
    if (!address || equals == std::string::npos) return false;
    if (!bound_to(host, *address, member.substr(equals + 1), changed)) return false;
  }
  return true;
}

Result<std::string> undo_bind(const Host& host, Bdf function, const Record& record) {
  const auto driver = TRY(settle(host, function, former_target(record)));
  if (record.get("remembered") != "1") TRY(forget_bound(host.root, function));
  if (const auto netdev = netdev_in(record)) restore_netdev(host, function, record.get("former_driver"), *netdev);
  return fmt::format("returned to {}", named(driver));
}

Result<std::string> repair_release(const Host& host, Bdf function, const Record& record) {
  auto target = release_target(record);
  if (const auto bound = load_bound(host.root, function)) target.settings = bound->former_settings;
  const auto netdev = netdev_in(record);
  const auto now = TRY(situation(host, function));
  // Probing anew would take a function from the native driver that has it already.
  if (!target.driver && !now.state.driver.empty() && !is_vfio_driver(now.state.driver))
    target.driver = now.state.driver;
  const auto driver = TRY(settle(host, function, target));
  TRY(forget_bound(host.root, function));
  if (netdev) restore_netdev(host, function, record.get("driver"), *netdev);
  return fmt::format("returned to {}", named(driver));
}

Result<std::string> repair(const Host& host, const LeftOver& entry, bool done) {
  if (!host.root.exists(directory_of(entry.function))) return "gone";
  if (!entry.record) return settle_unknown(host, entry.function);
  const auto identity = TRY(identity_of(host.root, entry.function));
  if (identity != entry.record->get("identity")) return fmt::format("replaced by {}", identity);
  if (entry.record->get("intent") == kIntentReset) return repair_reset(host, entry.function, *entry.record);
  if (done) return fmt::format("bound to {}", entry.record->get("driver"));
  if (entry.record->get("intent") == kIntentBind) return undo_bind(host, entry.function, *entry.record);
  return repair_release(host, entry.function, *entry.record);
}

}  // namespace

bool is_bindings_own(std::string_view intent) {
  return intent == kIntentBind || intent == kIntentRelease || intent == kIntentReset;
}

Result<std::vector<Repair>> recover_bindings(const Host& host, const HostLock& /*lock*/) {
  TRY(remove_unwritten(host.root));
  const auto entries = TRY(left_over(host.root));
  // Decided for all before the first is repaired, which may undo one member of a transaction over several.
  std::map<Bdf, bool> done;
  for (const auto& entry : entries) {
    const bool bind = entry.record && entry.record->get("intent") == kIntentBind;
    if (bind) done[entry.function] = completed(host, entry.function, *entry.record);
  }
  std::vector<Repair> repairs;
  for (const auto& entry : entries) {
    if (entry.record && !is_bindings_own(entry.record->get("intent"))) continue;
    auto state = repair(host, entry, done[entry.function]);
    if (state) {
      TRY(forget_entry(host.root, entry.function));
      repairs.push_back({.function = entry.function, .state = *state});
    } else {
      repairs.push_back(
          {.function = entry.function, .state = "left: " + state.error().text(), .problem = std::move(state).error()});
    }
  }
  return repairs;
}

}  // namespace pcivm::vfio
