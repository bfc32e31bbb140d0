// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_apply.hpp"

#include <algorithm>
#include <set>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sriov/host_names.hpp"
#include "vfio/binding_transaction.hpp"

namespace pcivm::sriov {

namespace {

using std::chrono::steady_clock;

const FunctionState* same_function(const HostState& state, const FunctionState& wanted) {
  const auto found = std::ranges::find(state.functions, wanted.address, &FunctionState::address);
  if (found == state.functions.end() || found->id != wanted.id || found->subsystem != wanted.subsystem) return nullptr;
  return &*found;
}

// What the plan may change, all of it: only that is kept.
HostState touched(const Plan& plan, const HostState& before) {
  std::set<Bdf> functions;
  for (const auto& step : plan.steps) {
    functions.insert(step.function);
    if (const auto* set = std::get_if<SetDriver>(&step.action)) {
      functions.insert(set->functions.begin(), set->functions.end());
    }
  }
  HostState kept;
  std::ranges::copy_if(before.functions, std::back_inserter(kept.functions),
                       [&](const FunctionState& each) { return functions.contains(each.address); });
  return kept;
}

// A function that went away, or stands for another card now, has nothing to go back to.
Plan way_back(const HostState& former, const HostState& now) {
  HostState present;
  std::ranges::copy_if(former.functions, std::back_inserter(present.functions),
                       [&](const FunctionState& each) { return same_function(now, each) != nullptr; });
  auto config = as_config(present, true);
  config.allow_recreate = true;
  return plan_host(config, now);
}

// Steps that are one transaction are told of one by one, with the same time and the same error.
class Telling {
 public:
  /// `request` null: nobody asked. `first` is the number of the first step.
  Telling(const ApplyRequest* request, std::span<const PlanStep> steps, std::size_t first, std::size_t count,
          bool undoing)
      : request_{request}, steps_{steps}, first_{first}, count_{count}, undoing_{undoing} {
    tell(std::nullopt, nullptr);
  }
  Result<void> end(Result<void> done) {
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - start_);
    tell(took, done ? nullptr : &done.error());
    return done;
  }

 private:
  void tell(std::optional<std::chrono::milliseconds> took, const Error* error) const {
    if (request_ == nullptr) return;
    for (std::size_t index = 0; index < steps_.size(); ++index) {
      request_->on_step({.step = steps_[index],
                         .number = first_ + index,
                         .count = count_,
                         .undoing = undoing_,
                         .took = took,
                         .error = error});
    }
  }
  const ApplyRequest* request_;
  std::span<const PlanStep> steps_;
  std::size_t first_;
  std::size_t count_;
  bool undoing_;
  steady_clock::time_point start_{steady_clock::now()};
};

// What is carried out together, and where in the plan it begins.
struct Part {
  std::size_t start{};
  std::span<const PlanStep> steps;
  const PlanStep& first{steps.front()};
};

std::vector<Part> parts_of(std::span<const PlanStep> steps) {
  std::vector<Part> parts;
  for (std::size_t start = 0; start < steps.size();) {
    const auto length = joint(steps.subspan(start));
    parts.push_back({.start = start, .steps = steps.subspan(start, length)});
    start += length;
  }
  return parts;
}

Result<void> carry_out_all(const StepTools& tools, const ApplyRequest& request) {
  const auto count = request.plan.steps.size();
  const auto go_on = [&request]() -> Result<void> {
    if (!request.interrupted()) return {};
    return fail(Error::make(Errc::rolled_back, "interrupted").coded(kInterrupted));
  };
  for (const auto& part : parts_of(request.plan.steps)) {
    TRY(go_on());
    Telling telling{&request, part.steps, part.start + 1, count, false};
    TRY_IN(telling.end(carry_out(tools, part.steps)), part.first.text);
  }
  return go_on();
}

// Goes on behind a failure with what does not depend on it: the other devices. The failures.
std::vector<Error> carry_out_undo(const StepTools& tools, const ApplyRequest* request, const Plan& plan) {
  const auto count = plan.steps.size();
  std::vector<Error> errors;
  std::set<std::string> failed;
  for (const auto& part : parts_of(plan.steps)) {
    if (failed.contains(part.first.device)) continue;
    Telling telling{request, part.steps, part.start + 1, count, true};
    auto done = telling.end(carry_out(tools, part.steps));
    if (done) continue;
    failed.insert(part.first.device);
    errors.push_back(std::move(done).error().within(part.first.text));
    if (vfio::blocked(errors.back())) break;  // everything else would wait behind it
  }
  return errors;
}

struct Remains {
  std::vector<std::string> texts{};  ///< what is not as it was; empty = all is
  std::set<std::string> devices{};
};

Remains remains_of(const Plan& plan, const std::vector<Error>& errors) {
  Remains remains;
  for (const auto& error : errors) remains.texts.push_back(error.text());
  for (const auto& problem : plan.problems) {
    remains.texts.push_back(problem.text);
    remains.devices.insert(problem.device);
  }
  for (const auto& step : plan.steps) {
    remains.texts.push_back("still to do: " + step.text);
    remains.devices.insert(step.device);
  }
  if (plan.steps.empty() && plan.problems.empty()) remains.texts.clear();
  return remains;
}

struct PutBack {
  Plan left;  ///< what would still have to be done
  std::vector<Error> errors;
};

// The way back without taking an interface down that somebody uses by now: routers are heard, and networkd gives an
// address, within the second in which it is up. It stays up, and a message says so.
Plan careful_way_back(const StepTools& tools, const HostState& former, const HostState& now, bool tell) {
  auto plan = way_back(former, now);
  const auto stays = [&](PlanStep& step) {
    auto* const link = std::get_if<SetLink>(&step.action);
    if (link == nullptr || link->up != false) return false;
    const auto used = vfio::refuse_in_use(tools.host, step.function, tools.force);
    if (used || used.error().kind() != Errc::busy) return false;
    if (tell) tools.host.note(used.error().text() + ": its interface stays up");
    link->up.reset();
    return *link == SetLink{};
  };
  std::erase_if(plan.steps, stays);
  return plan;
}

// Judged by reading the host again, not by what the steps reported.
Result<PutBack> put_back(const StepTools& tools, const ApplyRequest* request, const HostState& former) {
  auto now = TRY(read_host(tools.host, tools.port));
  auto plan = careful_way_back(tools, former, now, true);
  if (plan.steps.empty()) return PutBack{.left = std::move(plan), .errors = {}};
  auto errors = carry_out_undo(tools, request, plan);
  now = TRY(read_host(tools.host, tools.port));
  return PutBack{.left = careful_way_back(tools, former, now, false), .errors = std::move(errors)};
}

Error stranded(Error cause, const std::string& what) {
  return std::move(cause)
      .within(fmt::format("not everything could be put back as it was ({})", what))
      .as(Errc::stranded)
      .advise("pcivm reconcile tries again");
}

Error undo(const StepTools& tools, const ApplyRequest& request, const HostState& former, Error cause) {
  if (vfio::blocked(cause)) {
    return std::move(cause)
        .within("the kernel blocks, so the steps before were left as they are")
        .advise("end the process that has the device open, then: pcivm reconcile");
  }
  // A step that could not undo itself left its entry in the journal, which would be in the way.
  const auto repaired = recover_transactions(tools.host, tools.lock, tools.port, tools.adapters);
  if (!repaired) return stranded(std::move(cause), repaired.error().text());
  const auto done = put_back(tools, &request, former);
  if (!done) return stranded(std::move(cause), done.error().text());
  const auto remains = remains_of(done->left, done->errors);
  if (!remains.texts.empty()) return stranded(std::move(cause), fmt::format("{}", fmt::join(remains.texts, "; ")));
  if (const auto gone = forget_apply(tools.host.root, ApplyMark::running); !gone) {
    return stranded(std::move(cause), gone.error().text());
  }
  return std::move(cause).within("everything was put back as it was").as(Errc::rolled_back);
}

Result<void> commit(const SysRoot& root, Afterwards afterwards) {
  if (afterwards == Afterwards::remember) return keep_applied(root);
  // In this order: killed in between, there is a rollback to do that finds nothing to do.
  TRY(forget_apply(root, ApplyMark::running));
  if (afterwards == Afterwards::nothing) return {};
  return forget_apply(root, ApplyMark::applied);
}

Result<void> refuse_unfinished(const SysRoot& root) {
  const auto running = load_apply(root, ApplyMark::running);
  if (!running && running.error().kind() != Errc::invalid) return {};
  return fail(Error::make(Errc::busy, "an earlier apply did not end and could not be undone")
                  .coded("apply.unfinished")
                  .advise("pcivm reconcile"));
}

// After a restart, or without a readable record, nothing can be undone. True when it was closed.
Result<bool> close_hopeless(const StepTools& tools, const Result<ApplyRecord>& running) {
  if (!running) {
    tools.host.note(
        fmt::format("an apply did not end, and what the host was before it cannot be read: {}; pcivm "
                    "status shows what is other than configured",
                    running.error().text()));
    TRY(set_aside(tools.host.root));
    return true;
  }
  if (running->boot == boot_id(tools.host.root)) return false;
  tools.host.note("an apply was cut short by a restart of the host, which undid it");
  TRY(forget_apply(tools.host.root, ApplyMark::running));
  return true;
}

}  // namespace

Result<void> apply_plan(const StepTools& tools, const ApplyRequest& request) {
  if (request.plan.steps.empty()) {
    if (request.afterwards != Afterwards::forget) return {};
    return forget_apply(tools.host.root, ApplyMark::applied);
  }
  TRY(refuse_unfinished(tools.host.root));
  TRY(refuse_in_use(tools, request.plan.steps));
  TRY(remember_names(tools.host.root, request.before));
  const auto kept = touched(request.plan, request.before);
  TRY(begin_apply(tools.host.root, request.plan.id, kept));
  auto done = carry_out_all(tools, request);
  if (done) done = commit(tools.host.root, request.afterwards);
  if (done) return {};
  return fail(undo(tools, request, kept, std::move(done).error()));
}

Result<Rollback> plan_rollback(const vfio::Host& host, VfPort* port) {
  auto applied = load_apply(host.root, ApplyMark::applied);
  if (!applied && applied.error().kind() == Errc::not_found) {
    return fail(Error::make(Errc::not_found, "nothing was applied that could be rolled back")
                    .coded("apply.none")
                    .advise("pcivm plan shows what pcivm apply would do"));
  }
  const auto former = TRY(applied).before;
  Rollback rollback{.now = TRY(read_host(host, port)), .plan = {}};
  rollback.plan = way_back(former, rollback.now);
  for (const auto& each : former.functions) {
    if (same_function(rollback.now, each) != nullptr) continue;
    host.note(fmt::format("{} is gone, or another device now: nothing of it is put back", each.address.to_string()));
  }
  return rollback;
}

Result<std::vector<vfio::Repair>> recover_apply(const StepTools& tools) {
  std::vector<vfio::Repair> repairs;
  const auto running = load_apply(tools.host.root, ApplyMark::running);
  if (!running && running.error().kind() == Errc::not_found) return repairs;
  const bool closed = TRY(close_hopeless(tools, running));
  if (closed) return repairs;
  auto done = put_back(tools, nullptr, running->before);
  const auto remains = done ? remains_of(done->left, done->errors) : Remains{.texts = {done.error().text()}};
  if (remains.texts.empty()) TRY(forget_apply(tools.host.root, ApplyMark::running));
  for (const auto& each : running->before.functions) {
    if (remains.texts.empty()) {
      repairs.push_back({.function = each.address, .state = "as before the apply that did not end"});
      continue;
    }
    const auto text = fmt::format("{}", fmt::join(remains.texts, "; "));
    repairs.push_back({.function = each.address,
                       .state = "left: " + text,
                       .problem = done ? Error::make(Errc::stranded, text) : done.error()});
  }
  return repairs;
}

}  // namespace pcivm::sriov
