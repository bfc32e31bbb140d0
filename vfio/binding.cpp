// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding.hpp"

#include <fmt/format.h>

#include "vfio/binding_check.hpp"
#include "vfio/binding_transaction.hpp"

namespace pcivm::vfio {

namespace {

std::string named(std::string_view driver) { return driver.empty() ? "no driver" : std::string{driver}; }

bool bound_as_asked(const Situation& now, const BindRequest& request) {
  return now.state == DriverState{.driver = request.driver, .driver_override = request.driver};
}

Result<Situation> checked(const Host& host, const BindRequest& request) {
  TRY(check_driver_name(request.driver));
  auto now = TRY(situation(host, request.function));
  if (!bound_as_asked(now, request)) TRY(check_bindable(host, request.function, request.driver, request.force));
  return now;
}

// A function that is on a VFIO driver already keeps the memory of who had it before that.
Result<void> remember(const Host& host, const BindRequest& request, const Situation& before) {
  if (!request.remember) return {};
  Bound bound{.function = request.function,
              .identity = TRY(identity_of(host.root, request.function)),
              .former = before.state,
              .managed = request.managed.has_value(),
              .owner = request.managed.value_or(Owner{})};
  const auto known = load_bound(host.root, request.function);
  if (known && known->identity == bound.identity && is_vfio_driver(before.state.driver)) bound.former = known->former;
  return store_bound(host.root, bound);
}

Result<void> bind_steps(const Host& host, Journal& journal, const BindRequest& request, const Situation& before) {
  TRY(move_to(host, journal, request.function, {.driver = request.driver, .driver_override = request.driver}));
  if (is_vfio_driver(request.driver)) TRY(await_vfio_node(host, request.function));
  // The memory comes before the end of the transaction: after a crash in between, the bind counts as done.
  TRY(journal.step("remember"));
  return remember(host, request, before);
}

struct Return {
  Situation now;
  Target target;
  bool needed{};
};

Result<Return> plan_return(const Host& host, const ReleaseRequest& request) {
  Return plan{.now = TRY(situation(host, request.function)), .target = {}};
  const auto& state = plan.now.state;
  const auto bound = load_bound(host.root, request.function);
  const auto identity = TRY(identity_of(host.root, request.function));
  const bool known = bound && bound->identity == identity;
  if (request.driver) {
    if (!request.driver->empty()) TRY(check_driver_name(*request.driver));
    plan.target.driver = *request.driver;
  } else if (!is_vfio_driver(state.driver) && !state.driver.empty()) {
    plan.target.driver = state.driver;  // only an override is in the way of the native driver's next probe
  } else if (known) {
    plan.target = {.driver = bound->former.driver, .driver_override = bound->former.driver_override};
  }
  const bool given_away = is_vfio_driver(state.driver) || !state.driver_override.empty();
  plan.needed = given_away || (request.driver && *request.driver != state.driver);
  return plan;
}

Result<void> check_return(const Host& host, const ReleaseRequest& request, const Return& plan) {
  if (plan.target.driver && *plan.target.driver == plan.now.state.driver) return {};
  TRY(refuse_in_use(host, request.function, request.force));
  if (plan.target.driver && !plan.target.driver->empty()) {
    auto ready = ensure_driver(host.root, *plan.target.driver);
    if (!ready) return fail(std::move(ready).error().advise("--driver none leaves the function without a driver"));
  }
  return {};
}

Result<void> release_steps(const Host& host, Journal& journal, const Return& plan) {
  const auto function = plan.now.function;
  TRY(plan.target.driver ? move_to(host, journal, function, plan.target)
                         : probe_native(host, journal, function, plan.target));
  TRY(journal.step("forget"));
  return forget_bound(host.root, function);
}

Result<Record> release_record(const Host& host, const Return& plan) {
  auto record = TRY(opening_record(host, kIntentRelease, plan.now));
  if (plan.target.driver) record.set("driver", *plan.target.driver);
  record.set("override", plan.target.driver_override);
  return record;
}

Target release_target(const Record& record) {
  Target target{.driver = {}, .driver_override = record.get("override")};
  if (record.has("driver")) target.driver = record.get("driver");
  if (record.has("former_autoprobe")) target.autoprobe = record.get("former_autoprobe") == "1";
  return target;
}

std::vector<std::string> described(const std::vector<Step>& steps) {
  std::vector<std::string> lines;
  for (const auto& step : steps) lines.push_back(describe(step));
  return lines;
}

// ---- repair ----

Result<std::string> settle(const Host& host, Bdf function, const Target& target) {
  const auto now = TRY(situation(host, function));
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

Result<std::string> repair_bind(const Host& host, Bdf function, const Record& record) {
  const auto now = TRY(situation(host, function));
  const DriverState wanted{.driver = record.get("driver"), .driver_override = record.get("driver")};
  const auto bound = load_bound(host.root, function);
  if (now.state == wanted && bound && bound->identity == record.get("identity")) {
    return fmt::format("bound to {}", wanted.driver);
  }
  const auto driver = TRY(settle(host, function, former_target(record)));
  const bool fresh = bound && record.get("remembered") != "1";
  if (fresh) TRY(forget_bound(host.root, function));
  return fmt::format("returned to {}", named(driver));
}

Result<std::string> repair_release(const Host& host, Bdf function, const Record& record) {
  auto target = release_target(record);
  const auto now = TRY(situation(host, function));
  // Probing anew would take a function from the native driver that has it already.
  if (!target.driver && !now.state.driver.empty() && !is_vfio_driver(now.state.driver))
    target.driver = now.state.driver;
  const auto driver = TRY(settle(host, function, target));
  TRY(forget_bound(host.root, function));
  return fmt::format("returned to {}", named(driver));
}

Result<std::string> repair(const Host& host, const LeftOver& entry) {
  if (!host.root.exists(directory_of(entry.function))) return "gone";
  if (!entry.record) return settle_unknown(host, entry.function);
  const auto identity = TRY(identity_of(host.root, entry.function));
  if (identity != entry.record->get("identity")) return fmt::format("replaced by {}", identity);
  if (entry.record->get("intent") == kIntentBind) return repair_bind(host, entry.function, *entry.record);
  return repair_release(host, entry.function, *entry.record);
}

}  // namespace

Result<Change> bind(const Host& host, const HostLock& /*lock*/, const BindRequest& request) {
  const auto before = TRY(checked(host, request));
  if (bound_as_asked(before, request)) return Change{.changed = false, .before = before.state, .after = before.state};
  TRY(ensure_driver(host.root, request.driver));
  auto record = TRY(opening_record(host, kIntentBind, before));
  record.set("driver", request.driver);
  const auto known = load_bound(host.root, request.function);
  record.set("remembered", known ? "1" : "0");
  auto journal = TRY(Journal::begin(host.root, request.function, record));
  if (auto done = bind_steps(host, journal, request, before); !done) {
    if (!known) (void)forget_bound(host.root, request.function);
    return fail(undo(host, journal, request.function, former_target(record), std::move(done).error())
                    .within(fmt::format("bind {} to {}", request.function.to_string(), request.driver)));
  }
  TRY(journal.close());
  const auto after = TRY(situation(host, request.function));
  return Change{.changed = true, .before = before.state, .after = after.state};
}

Result<Change> release(const Host& host, const HostLock& /*lock*/, const ReleaseRequest& request) {
  const auto plan = TRY(plan_return(host, request));
  if (!plan.needed) {
    TRY(forget_bound(host.root, request.function));
    return Change{.changed = false, .before = plan.now.state, .after = plan.now.state};
  }
  TRY(check_return(host, request, plan));
  const auto record = TRY(release_record(host, plan));
  auto journal = TRY(Journal::begin(host.root, request.function, record));
  if (auto done = release_steps(host, journal, plan); !done) {
    return fail(undo(host, journal, request.function, former_target(record), std::move(done).error())
                    .within(fmt::format("release {}", request.function.to_string())));
  }
  TRY(journal.close());
  const auto after = TRY(situation(host, request.function));
  return Change{.changed = true, .before = plan.now.state, .after = after.state};
}

Result<std::vector<std::string>> preview(const Host& host, const BindRequest& request) {
  const auto now = TRY(checked(host, request));
  return described(plan(now, {.driver = request.driver, .driver_override = request.driver}));
}

Result<std::vector<std::string>> preview(const Host& host, const ReleaseRequest& request) {
  const auto way = TRY(plan_return(host, request));
  if (!way.needed) return std::vector<std::string>{};
  TRY(check_return(host, request, way));
  return described(plan(way.now, way.target));
}

Result<std::vector<Repair>> recover_bindings(const Host& host, const HostLock& /*lock*/) {
  std::vector<Repair> repairs;
  for (const auto& entry : TRY(left_over(host.root))) {
    const auto intent = entry.record ? entry.record->get("intent") : std::string{kIntentBind};
    if (intent != kIntentBind && intent != kIntentRelease) continue;
    auto state = repair(host, entry);
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
