// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm reconcile
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "sriov/apply_record.hpp"
#include "sriov/vf_set.hpp"
#include "vfio/journal.hpp"

namespace pcivm::cli {

namespace {

Result<int> print_unfinished(Context& context) {
  std::vector<std::string> lines;
  for (const auto& entry : TRY(vfio::left_over(context.root()))) {
    const auto intent = entry.record ? entry.record->get("intent") : std::string{"a damaged entry"};
    const auto step = entry.record ? entry.record->get("step") : std::string{};
    lines.push_back(fmt::format("repair {}: {}, stopped at: {}", entry.function.to_string(), intent, step));
  }
  const auto apply = sriov::load_apply(context.root(), sriov::ApplyMark::running);
  if (apply) lines.push_back(fmt::format("undo an apply that did not end (plan {})", apply->plan));
  if (!apply && apply.error().kind() == Errc::invalid) lines.push_back("put aside " + apply.error().text());
  return print_steps(context, lines);
}

Result<int> reconcile(Context& context) {
  if (context.options.dry_run) return print_unfinished(context);
  const auto host = host_of(context);
  // Not begin_change(), which would repair in passing what is to be listed here.
  const auto lock = TRY(vfio::HostLock::take(host.root, host.lock_wait, host.note));
  host.calls.renew();
  context.doing("repairing what was left unfinished");
  const auto port = vf_port(context);
  Listing listing{.kind = "RepairList",
                  .columns = {{.title = "ADDRESS"}, {.title = "STATE", .may_cut = true}},
                  .empty_note = "nothing was left unfinished"};
  int code = kExitDone;
  for (const auto& repair : TRY(sriov::recover(host, lock, port.get()))) {
    const auto address = repair.function.to_string();
    listing.rows.push_back({{address}, {repair.state, repair.problem ? Mark::bad : Mark::good}});
    listing.items.push_back({{"address", address}, {"repaired", !repair.problem}, {"state", repair.state}});
    if (repair.problem) code = exit_code(Errc::stranded);
  }
  TRY(print(context, listing));
  return code;
}

}  // namespace

void add_reconcile(CLI::App& root, Context& context) {
  add_command(root, context, "reconcile", "repair what an interrupted command left behind", reconcile);
}

}  // namespace pcivm::cli
