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
#include "vfio/binding_scope.hpp"
#include "vfio/release_hook.hpp"
#include "vfio/variant_driver.hpp"

namespace pcivm::cli {

namespace {

struct Arguments {
  std::vector<std::string> devices;
  vfio::Scope scope;
  std::string driver;
  std::string reset_method;  // these three: empty = left as it is
  std::string d3cold;
  std::string power;
};

Result<std::vector<Bdf>> select_all(Context& context, const std::vector<std::string>& names) {
  std::vector<Bdf> functions;
  for (const auto& name : names) {
    const auto function = TRY(select_function(context.root(), name));
    if (std::ranges::find(functions, function) == functions.end()) functions.push_back(function);
  }
  return functions;
}

template <class Request>
Result<int> print_changes(Context& context, const std::vector<Request>& requests,
                          const std::vector<vfio::Change>& changes) {
  Listing listing{.kind = "ChangeList",
                  .columns = {{.title = "ADDRESS"}, {.title = "DRIVER"}, {.title = "BEFORE"}, {.title = "CHANGED"}}};
  for (std::size_t index = 0; index < requests.size(); ++index) {
    const auto& change = changes[index];
    const auto address = requests[index].function.to_string();
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

vfio::Settings settings_of(const Arguments& args) {
  vfio::Settings settings;
  if (!args.reset_method.empty()) {
    auto methods = args.reset_method;
    std::ranges::replace(methods, ',', ' ');  // as the kernel's file has them
    settings["reset_method"] = methods;
  }
  if (!args.d3cold.empty()) settings["d3cold_allowed"] = args.d3cold == "on" ? "1" : "0";
  if (!args.power.empty()) settings["power/control"] = args.power;
  return settings;
}

Result<std::vector<vfio::BindRequest>> bind_requests(Context& context, const Arguments& args) {
  std::vector<vfio::BindRequest> requests;
  const auto named = TRY(select_all(context, args.devices));
  for (const auto function : TRY(vfio::widen(context.root(), named, args.scope))) {
    const bool automatic = args.driver == "auto";
    requests.push_back({.function = function,
                        .driver = automatic ? TRY(vfio::variant_driver(context.root(), function)) : args.driver,
                        .force = context.options.force,
                        .settings = settings_of(args)});
  }
  return requests;
}

Result<int> bind_devices(Context& context, const Arguments& args) {
  const auto host = host_of(context);
  const auto requests = TRY(bind_requests(context, args));
  if (context.options.dry_run) return print_steps(context, TRY(vfio::preview(host, requests)));
  std::vector<vfio::Change> changes;
  {
    const auto lock = TRY(begin_change(context, host));
    context.doing(fmt::format("binding {} functions", requests.size()));
    changes = TRY(vfio::bind_all(host, lock, requests));
  }
  std::vector<Bdf> functions;
  for (const auto& request : requests) functions.push_back(request.function);
  // Not an obstacle to binding, which must be possible one by one, but to using what was bound.
  const auto usable = vfio::check_groups(context.root(), functions);
  if (!usable) context.note(fmt::format("not usable yet: {}; {}", usable.error().text(), usable.error().hint()));
  return print_changes(context, requests, changes);
}

Result<int> release_devices(Context& context, const Arguments& args) {
  const auto host = host_of(context);
  std::vector<vfio::ReleaseRequest> requests;
  const auto named = TRY(select_all(context, args.devices));
  for (const auto function : TRY(vfio::widen(context.root(), named, args.scope))) {
    vfio::ReleaseRequest request{.function = function, .force = context.options.force};
    if (!args.driver.empty()) request.driver = args.driver == "none" ? std::string{} : args.driver;
    requests.push_back(std::move(request));
  }
  if (context.options.dry_run) return print_steps(context, TRY(vfio::preview(host, requests)));
  if (!context.forced(vfio::kForceOnRelease)) {
    for (const auto& request : requests) TRY(vfio::run_release_hook(host, request.function));
  }
  const auto lock = TRY(begin_change(context, host));
  context.doing(fmt::format("releasing {} functions", requests.size()));
  return print_changes(context, requests, TRY(vfio::release_all(host, lock, requests)));
}

void add_devices(CLI::App& command, Arguments& args) {
  command.add_option("device", args.devices, kDeviceHelp)->required()->type_name("DEVICE");
  command.add_flag("--group", args.scope.group, "all functions of the IOMMU group but bridges, together or not at all");
  command.add_flag("--vfs", args.scope.vfs, "the virtual functions of DEVICE instead of itself");
}

}  // namespace

void add_device_bind(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  args.driver = "vfio-pci";
  auto& command = add_command(group, context, "bind", "give functions to a driver for virtual machines",
                              [&args](Context& here) { return bind_devices(here, args); });
  add_devices(command, args);
  command
      .add_option("--driver", args.driver,
                  "the driver; auto is the VFIO driver that the kernel has for this very device, else vfio-pci")
      ->type_name("DRIVER")
      ->capture_default_str();
  command
      .add_option("--reset-method", args.reset_method,
                  "reset by these methods only, in this order (flr,pm,bus); put back at release")
      ->type_name("METHODS");
  command.add_option("--d3cold", args.d3cold, "may the function lose its power when idle; put back at release")
      ->check(CLI::IsMember({"on", "off"}))
      ->type_name("on|off");
  command
      .add_option(
          "--power", args.power,
          "on keeps this function in D0 when idle, auto lets vfio-pci suspend it (its parameter disable_idle_d3 "
          "is for all functions of the host); put back at release")
      ->check(CLI::IsMember({"on", "auto"}))
      ->type_name("on|auto");
}

void add_device_release(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "release", "give functions back to the driver that had them",
                              [&args](Context& here) { return release_devices(here, args); });
  add_devices(command, args);
  command.add_option("--driver", args.driver, "another driver than the former one, or none")->type_name("DRIVER|none");
}

}  // namespace pcivm::cli
