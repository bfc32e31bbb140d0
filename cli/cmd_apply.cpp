// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm apply [-f FILE]... [--only NAME] [--plan ID] [--boot], pcivm rollback
#include <unistd.h>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_change.hpp"
#include "cli/host_plan_view.hpp"
#include "cli/render.hpp"
#include "cli/report.hpp"
#include "cli/stop_signals.hpp"
#include "sriov/host_apply.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;

struct Arguments {
  PlanArguments plan{};
  std::string id;
  bool boot{};
};

/// What was done, for -o json.
struct Done {
  std::string plan;
  Json steps = Json::array();
};

std::string seconds(milliseconds time) { return fmt::format("{:.1f} s", static_cast<double>(time.count()) / 1000); }

void tell(Context& context, Done& done, const sriov::StepTold& told) {
  const auto lead = fmt::format("{}[{}/{}] {}", told.undoing ? "undo " : "", told.number, told.count, told.step.text);
  if (!told.took) return context.doing(lead);
  context.progress.stop();
  const auto step = fmt::format("{}{}/{}", told.undoing ? "undo " : "", told.number, told.count);
  context.note(fmt::format("{}{} {}", lead, told.error != nullptr ? ": failed after" : ":", seconds(*told.took)),
               {.step = step});
  if (told.undoing || told.error != nullptr) return;
  done.steps.push_back({{"device", told.step.device},
                        {"function", told.step.function.to_string()},
                        {"text", told.step.text},
                        {"milliseconds", told.took->count()}});
}

Result<int> print_done(Context& context, const Done& done) {
  if (!context.structured()) return kExitDone;
  return print(context,
               Record{.kind = "ApplyResult",
                      .name = done.plan,
                      .object = {{"plan", done.plan}, {"changed", !done.steps.empty()}, {"steps", done.steps}}});
}

Error stale(const std::string& wanted, const std::string& found) {
  return Error::make(Errc::busy, fmt::format("plan {} is stale: host or configuration changed since, and the plan is "
                                             "{} now; nothing was touched",
                                             wanted, found.empty() ? "empty" : found))
      .coded("plan.stale")
      .advise("pcivm plan shows it");
}

/// The same plan is made again with the lock held, and only that one is carried out.
struct Run {
  vfio::Host& host;
  sriov::VfPort* port;
  sriov::Afterwards afterwards{};
  std::string id{};  ///< that the plan must have; empty = any
  /// Nothing: there is nothing here to be planned.
  std::function<Result<std::optional<Planned>>()> plan;
  bool despite_problems{};
};

Result<int> carry_out(Context& context, const Run& run) {
  const auto lock = TRY(begin_change(context, run.host));
  StopSignals signals;
  run.host.calls.renew();  // so that its child does not hear Ctrl-C either
  const auto now = TRY(run.plan());
  if (!now) return kExitDone;
  const auto& plan = now->plan;
  if (!run.id.empty() && plan.id != run.id) return fail(stale(run.id, plan.id));
  const int problems = tell_problems(context, plan);
  if (problems != kExitDone && !run.despite_problems) return problems;
  Done done{.plan = plan.id};
  auto applied = sriov::apply_plan({.host = run.host, .lock = lock, .port = run.port, .force = context.options.force},
                                   {.plan = plan,
                                    .before = now->state,
                                    .afterwards = run.afterwards,
                                    .on_step = [&](const sriov::StepTold& told) { tell(context, done, told); },
                                    .interrupted = [&signals] { return signals.arrived().has_value(); }});
  if (!applied && applied.error().code() == sriov::kInterrupted && applied.error().kind() == Errc::rolled_back) {
    return report(context, applied.error(), 128 + signals.arrived().value_or(SIGINT));
  }
  TRY(std::move(applied));
  TRY(print_done(context, done));
  return problems;
}

/// Shows the plan and asks, unless --yes; the id of the plan that was shown.
Result<std::string> agreed(Context& context, const sriov::Plan& plan, const char* question) {
  if (!context.structured() || context.options.dry_run) TRY(print_plan(context, plan));
  if (context.options.dry_run || plan.steps.empty()) return plan.id;
  TRY(confirm(context,
              fmt::format("{} {} {}?", question, plan.steps.size(), plan.steps.size() == 1 ? "step" : "steps")));
  return plan.id;
}

Result<int> apply_host(Context& context, const Arguments& args) {
  const auto config = load_host_config(context.root(), args.plan.files);
  // A host that has the package and no configuration boots without complaint.
  if (!config && args.boot && config.error().code() == "config.none") return kExitDone;
  if (!config) return fail(config.error());
  auto host = host_of(context);
  // Every PF of the host comes at once, and each waits for its turn.
  if (args.boot && !context.options.timeout) host.lock_wait = std::chrono::minutes{10};
  const auto port = vf_port(context);
  Run run{.host = host,
          .port = port.get(),
          .afterwards = args.boot ? sriov::Afterwards::nothing : sriov::Afterwards::remember,
          .id = args.id,
          .plan = [&] { return planned(host, port.get(), *config, args.plan.only); },
          .despite_problems = args.boot};
  if (context.options.dry_run || (!context.options.yes && !args.boot)) {
    const auto shown = TRY(planned_for(host, port.get(), *config, args.plan.only));
    if (!args.id.empty() && shown.plan.id != args.id) return fail(stale(args.id, shown.plan.id));
    run.id = TRY(agreed(context, shown.plan, "carry out"));
    if (context.options.dry_run || shown.plan.steps.empty() || !shown.plan.problems.empty()) {
      const int code = tell_problems(context, shown.plan);
      if (code != kExitDone || context.options.dry_run) return code;
      return print_done(context, {.plan = shown.plan.id});
    }
  }
  return carry_out(context, run);
}

Result<int> roll_back(Context& context) {
  auto host = host_of(context);
  const auto port = vf_port(context);
  const auto back = [&]() -> Result<std::optional<Planned>> {
    auto rollback = TRY(sriov::plan_rollback(host, port.get()));
    return std::optional{Planned{.state = std::move(rollback.now), .plan = std::move(rollback.plan)}};
  };
  Run run{.host = host, .port = port.get(), .afterwards = sriov::Afterwards::forget, .plan = back};
  if (!context.options.yes || context.options.dry_run) {
    const auto shown = TRY(back());
    run.id = TRY(agreed(context, shown->plan, "take back the last apply in"));
    if (context.options.dry_run) return tell_problems(context, shown->plan);
  }
  return carry_out(context, run);
}

}  // namespace

void add_apply(CLI::App& root, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(root, context, "apply", "make the host as its file says, all or nothing",
                              [&args](Context& here) { return apply_host(here, args); });
  add_plan_options(command, args.plan);
  command.add_option("--plan", args.id, "only if the plan is still this one, as pcivm plan named it")->type_name("ID");
  command.add_flag("--boot", args.boot,
                   "as services do it: no question, patient, what else is wrong does not matter; no rollback");
}

void add_rollback(CLI::App& root, Context& context) {
  add_command(root, context, "rollback", "make the host as it was before the last apply", roll_back);
}

}  // namespace pcivm::cli
