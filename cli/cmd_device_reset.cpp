// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device reset DEVICE...
#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "vfio/reset.hpp"

namespace pcivm::cli {

namespace {

struct Arguments {
  std::vector<std::string> devices;
  std::string method;
};

Result<std::vector<vfio::ResetRequest>> requests_of(Context& context, const Arguments& args) {
  std::vector<vfio::ResetRequest> requests;
  for (const auto& name : args.devices) {
    requests.push_back({.function = TRY(select_function(context.root(), name)),
                        .method = args.method,
                        .force = context.options.force});
  }
  return requests;
}

Result<int> preview_resets(Context& context, const vfio::Host& host, const std::vector<vfio::ResetRequest>& requests) {
  std::vector<std::string> steps;
  for (const auto& request : requests) {
    for (auto& step : TRY(vfio::preview(host, request))) steps.push_back(std::move(step));
  }
  return print_steps(context, steps);
}

Result<int> reset_devices(Context& context, const Arguments& args) {
  const auto host = host_of(context);
  const auto requests = TRY(requests_of(context, args));
  if (context.options.dry_run) return preview_resets(context, host, requests);
  const auto lock = TRY(begin_change(context, host));
  Listing listing{.kind = "ResetList", .columns = {{.title = "ADDRESS"}, {.title = "METHOD"}, {.title = "STATE"}}};
  for (const auto& request : requests) {
    const auto outcome = TRY(vfio::reset_function(host, lock, request));
    const auto address = request.function.to_string();
    const auto* state = outcome.left_quarantine ? "answers, out of quarantine" : "answers";
    listing.rows.push_back({{address}, {outcome.method}, {state, Mark::good}});
    listing.items.push_back(
        {{"address", address}, {"leftQuarantine", outcome.left_quarantine}, {"method", outcome.method}});
  }
  return print(context, listing);
}

}  // namespace

void add_device_reset(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "reset", "reset functions that nobody uses, and see that they answer",
                              [&args](Context& here) { return reset_devices(here, args); });
  command.add_option("device", args.devices, kDeviceHelp)->required()->type_name("DEVICE");
  command
      .add_option("--method", args.method,
                  "how: flr, pm, bus, ... of those in reset_method; else the kernel's first one")
      ->type_name("METHOD");
}

}  // namespace pcivm::cli
