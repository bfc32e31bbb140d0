// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/commands.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "cli/vm_commands.hpp"

namespace pcivm::cli {

namespace {

struct Group {
  std::string_view name;
  const char* about;
};
constexpr Group kGroups[] = {
    {"device", "PCI functions: what is there, who uses it, who may have it"},
    {"group", "IOMMU groups"},
    {"vf", "SR-IOV virtual functions"},
    {"udev", "the host stays as configured: rules, and what runs on an event"},
    {"vm", "virtual machines"},
    {"config", "the file that describes the host"},
};

constexpr std::string_view kNoGroup{};  // a command by itself

struct Entry {
  std::string_view group;
  std::string_view name;
  void (*add)(CLI::App& group, Context& context);
};
// In the order of the help. A new command is one line here and one in commands.hpp.
// clang-format off: one line each, so that two new commands are no conflict
constexpr Entry kCommands[] = {
    {"device", "list", add_device_list},
    {"device", "show", add_device_show},
    {"device", "bind", add_device_bind},
    {"device", "release", add_device_release},
    {"device", "reset", add_device_reset},
    {"group", "list", add_group_list},
    {"group", "show", add_group_show},
    {"vf", "create", add_vf_create},
    {"vf", "list", add_vf_list},
    {"vf", "show", add_vf_show},
    {"vf", "set", add_vf_set},
    {"vf", "destroy", add_vf_destroy},
    {"vf", "eswitch", add_vf_eswitch},
    {"udev", "rules", add_udev_rules},
    {"udev", "install", add_udev_install},
    {"udev", "wait", add_udev_wait},
    {"udev", "watch", add_udev_watch},
    {"config", "validate", add_config_validate},
    {"config", "import", add_config_import},
    {kNoGroup, "plan", add_plan},
    {kNoGroup, "apply", add_apply},
    {kNoGroup, "status", add_status},
    {kNoGroup, "rollback", add_rollback},
    {kNoGroup, "export", add_export},
    {kNoGroup, "reconcile", add_reconcile},
    {kNoGroup, "doctor", add_doctor},
    {kNoGroup, "topology", add_topology},
    {"vm", "run", add_vm_run},
    {"vm", "create", add_vm_create},
    {"vm", "start", add_vm_start},
    {"vm", "stop", add_vm_stop},
    {"vm", "restart", add_vm_restart},
    {"vm", "delete", add_vm_delete},
    {"vm", "list", add_vm_list},
    {"vm", "show", add_vm_show},
    {"vm", "set", add_vm_set},
    {"vm", "console", add_vm_console},
    {"vm", "logs", add_vm_logs},
    {"vm", "wait", add_vm_wait},
    {kNoGroup, "attach", add_attach},
    {kNoGroup, "detach", add_detach},
    {kNoGroup, "completion", add_completion},
};
// clang-format on

}  // namespace

CLI::App& add_command(CLI::App& group, Context& context, const std::string& name, const std::string& about,
                      Action action) {
  auto& command = *group.add_subcommand(name, about);
  // Only noted here: an action that ran inside CLI11 would have to report its failure by an exception.
  command.callback([&context, action = std::move(action)] { context.action = action; });
  command.fallthrough();
  return command;
}

void add_commands(CLI::App& root, Context& context, const CommandWords& words) {
  const auto& [first, second] = words;
  const bool one_group = !first.empty() && std::ranges::find(kGroups, first, &Group::name) != std::end(kGroups);
  const auto named = [&](const Entry& entry) {
    return one_group ? entry.group == first && entry.name == second : entry.group == kNoGroup && entry.name == first;
  };
  const bool one_command = std::ranges::any_of(kCommands, named);
  for (const auto& group : kGroups) {
    if (one_group ? group.name != first : one_command) continue;
    auto& app = *root.add_subcommand(std::string{group.name}, group.about);
    app.require_subcommand(0, 1);
    app.fallthrough();
    for (const auto& entry : kCommands) {
      if (entry.group == group.name && (!one_command || named(entry))) entry.add(app, context);
    }
  }
  for (const auto& entry : kCommands) {
    if (entry.group == kNoGroup && !one_group && (!one_command || named(entry))) entry.add(root, context);
  }
}

}  // namespace pcivm::cli
