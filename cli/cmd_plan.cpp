// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm plan [-f FILE]... [--only NAME]
#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_change.hpp"
#include "cli/host_plan_view.hpp"

namespace pcivm::cli {

namespace {

struct Arguments {
  PlanArguments plan{};
  bool detailed{};
};

Result<int> plan_host(Context& context, const Arguments& args) {
  const auto config = TRY(load_host_config(context.root(), args.plan.files));
  const auto host = host_of(context);
  const auto port = vf_port(context);
  const auto result = TRY(planned_for(host, port.get(), config, args.plan.only));
  TRY(print_plan(context, result.plan));
  const int code = tell_problems(context, result.plan);
  if (code != kExitDone) return code;
  return args.detailed && !result.plan.steps.empty() ? kExitDrift : kExitDone;
}

}  // namespace

void add_plan(CLI::App& root, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(root, context, "plan", "what would make the host as its file says; touches nothing",
                              [&args](Context& here) { return plan_host(here, args); });
  add_plan_options(command, args.plan);
  command.add_flag("--detailed-exitcode", args.detailed, "exit with 10 when there is something to do");
}

}  // namespace pcivm::cli
