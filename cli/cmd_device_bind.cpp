// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device bind DEVICE..., pcivm device release DEVICE...
#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "vfio/binding.hpp"
#include "vfio/binding_check.hpp"

namespace pcivm::cli {

namespace {

struct Arguments {
  std::vector<std::string> devices;
  std::string driver;
};

struct Changed {
  Bdf function;
  vfio::Change change;
};

Result<std::vector<Bdf>> select_all(Context& context, const std::vector<std::string>& names) {
  std::vector<Bdf> functions;
  for (const auto& name : names) {
    const auto function = TRY(select_function(context.root(), name));
    if (std::ranges::find(functions, function) == functions.end()) functions.push_back(function);
  }
  return functions;
}

Result<int> print_changes(Context& context, const std::vector<Changed>& changes) {
  Listing listing{.kind = "ChangeList",
                  .columns = {{.title = "ADDRESS"}, {.title = "DRIVER"}, {.title = "BEFORE"}, {.title = "CHANGED"}}};
  for (const auto& [function, change] : changes) {
    const auto address = function.to_string();
    listing.rows.push_back({{address}, {change.after.driver}, {change.before.driver}, {change.changed ? "yes" : "no"}});
    listing.items.push_back({{"address", address},
                             {"changed", change.changed},
                             {"driver", or_null(change.after.driver)},
                             {"driverOverride", or_null(change.after.driver_override)},
                             {"formerDriver", or_null(change.before.driver)},
                             {"formerDriverOverride", or_null(change.before.driver_override)}});
  }
  return print(context, listing);
}

template <class Request>
Result<int> print_preview(Context& context, const vfio::Host& host, const std::vector<Request>& requests) {
  std::vector<std::string> steps;
  for (const auto& request : requests) {
    const auto more = TRY(vfio::preview(host, request));
    steps.insert(steps.end(), more.begin(), more.end());
  }
  return print_steps(context, steps);
}

// All or none: those already given away go back when a later one fails.
Error take_back(const vfio::Host& host, const vfio::HostLock& lock, const std::vector<Changed>& done, Error cause) {
  for (const auto& [function, change] : done) {
    if (!change.changed) continue;
    const auto back = vfio::release(host, lock, {.function = function, .driver = change.before.driver});
    if (!back) return std::move(cause).within(back.error().text()).as(Errc::stranded);
  }
  return cause;
}

Result<int> bind_devices(Context& context, const Arguments& args) {
  const auto host = host_of(context);
  std::vector<vfio::BindRequest> requests;
  for (const auto function : TRY(select_all(context, args.devices))) {
    requests.push_back({.function = function, .driver = args.driver, .force = context.options.force});
  }
  if (context.options.dry_run) return print_preview(context, host, requests);
  std::vector<Bdf> functions;
  std::vector<Changed> changes;
  {
    const auto lock = TRY(begin_change(context, host));
    for (const auto& request : requests) {
      context.doing(fmt::format("binding {} to {}", request.function.to_string(), request.driver));
      const auto change = vfio::bind(host, lock, request);
      if (!change) return fail(take_back(host, lock, changes, change.error()));
      changes.push_back({request.function, *change});
      functions.push_back(request.function);
    }
  }
  // Not an obstacle to binding, which must be possible one by one, but to using what was bound.
  const auto usable = vfio::check_groups(context.root(), functions);
  if (!usable) context.note(fmt::format("not usable yet: {}; {}", usable.error().text(), usable.error().hint()));
  return print_changes(context, changes);
}

Result<int> release_devices(Context& context, const Arguments& args) {
  const auto host = host_of(context);
  std::vector<vfio::ReleaseRequest> requests;
  for (const auto function : TRY(select_all(context, args.devices))) {
    vfio::ReleaseRequest request{.function = function, .force = context.options.force};
    if (!args.driver.empty()) request.driver = args.driver == "none" ? std::string{} : args.driver;
    requests.push_back(std::move(request));
  }
  if (context.options.dry_run) return print_preview(context, host, requests);
  std::vector<Changed> changes;
  const auto lock = TRY(begin_change(context, host));
  for (const auto& request : requests) {
    context.doing(fmt::format("releasing {}", request.function.to_string()));
    const auto change = TRY(vfio::release(host, lock, request));
    changes.push_back({request.function, change});
  }
  return print_changes(context, changes);
}

void add_devices(CLI::App& command, Arguments& args) {
  command.add_option("device", args.devices, kDeviceHelp)->required()->type_name("DEVICE");
}

}  // namespace

void add_device_bind(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  args.driver = "vfio-pci";
  auto& command = add_command(group, context, "bind", "give functions to a driver for virtual machines",
                              [&args](Context& here) { return bind_devices(here, args); });
  add_devices(command, args);
  command.add_option("--driver", args.driver, "the driver")->type_name("DRIVER")->capture_default_str();
}

void add_device_release(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "release", "give functions back to the driver that had them",
                              [&args](Context& here) { return release_devices(here, args); });
  add_devices(command, args);
  command.add_option("--driver", args.driver, "another driver than the former one, or none")->type_name("DRIVER|none");
}

}  // namespace pcivm::cli
