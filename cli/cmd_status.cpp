// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm status [-f FILE]... [--only NAME]
#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_change.hpp"
#include "cli/host_plan_view.hpp"
#include "cli/render.hpp"

namespace pcivm::cli {

namespace {

using Verdict = sriov::KeyStatus::Verdict;

struct Arguments {
  PlanArguments plan{};
  bool exit_code{};
};

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::same: return "same";
    case Verdict::drift: return "drift";
    case Verdict::unknown: return "unknown";
  }
  return "?";
}

Mark mark_of(Verdict verdict) {
  if (verdict == Verdict::drift) return Mark::notice;
  return verdict == Verdict::same ? Mark::good : Mark::dim;
}

Listing listing_of(const sriov::Plan& plan) {
  Listing listing{.kind = "StatusList",
                  .columns = {{.title = "DEVICE"},
                              {.title = "KEY"},
                              {.title = "WANTED", .may_cut = true},
                              {.title = "FOUND", .may_cut = true},
                              {.title = "STATE"},
                              {.title = "WHERE", .wide_only = true}},
                  .empty_note = plan.problems.empty() ? "the configuration manages nothing" : ""};
  for (const auto& key : plan.keys) {
    listing.rows.push_back({{key.device},
                            {key.key},
                            {key.wanted},
                            {key.found.value_or("not reported by the driver")},
                            {std::string{to_string(key.verdict)}, mark_of(key.verdict)},
                            {to_string(key.place)}});
    listing.items.push_back({{"device", key.device},
                             {"key", key.key},
                             {"wanted", key.wanted},
                             {"found", or_null(key.found)},
                             {"state", to_string(key.verdict)},
                             {"place", place_json(key.place)}});
  }
  return listing;
}

Result<int> show_status(Context& context, const Arguments& args) {
  const auto config = TRY(load_host_config(context.root(), args.plan.files));
  const auto host = host_of(context);
  const auto port = vf_port(context);
  const auto result = TRY(planned_for(host, port.get(), config, args.plan.only));
  TRY(print(context, listing_of(result.plan)));
  context.flush();
  const int problems = tell_problems(context, result.plan);
  if (!args.exit_code) return kExitDone;
  if (problems != kExitDone) return problems;
  const bool drift =
      std::ranges::any_of(result.plan.keys, [](const auto& key) { return key.verdict == Verdict::drift; });
  return drift ? kExitDrift : kExitDone;
}

}  // namespace

void add_status(CLI::App& root, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(root, context, "status", "each configured value, and what the host has in its place",
                              [&args](Context& here) { return show_status(here, args); });
  add_plan_options(command, args.plan);
  command.add_flag("--exit-code", args.exit_code, "exit with 10 when anything is other than configured");
}

}  // namespace pcivm::cli
