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
  void (*add)(CLI::App& group, Context& context);
};
// In the order of the help. A new command is one line here and one in commands.hpp.
// clang-format off: one line each, so that two new commands are no conflict
constexpr Entry kCommands[] = {
    {"device", add_device_list},
    {"device", add_device_show},
    {"device", add_device_bind},
    {"device", add_device_release},
    {"device", add_device_reset},
    {"group", add_group_list},
    {"group", add_group_show},
    {"vf", add_vf_create},
    {"vf", add_vf_list},
    {"vf", add_vf_show},
    {"vf", add_vf_set},
    {"vf", add_vf_destroy},
    {"vf", add_vf_eswitch},
    {"udev", add_udev_rules},
    {"udev", add_udev_install},
    {"udev", add_udev_wait},
    {"udev", add_udev_watch},
    {"config", add_config_validate},
    {"config", add_config_import},
    {kNoGroup, add_plan},
    {kNoGroup, add_apply},
    {kNoGroup, add_status},
    {kNoGroup, add_rollback},
    {kNoGroup, add_export},
    {kNoGroup, add_reconcile},
    {kNoGroup, add_doctor},
    {kNoGroup, add_topology},
    {"vm", add_vm_run},
    {"vm", add_vm_create},
    {"vm", add_vm_start},
    {"vm", add_vm_stop},
    {"vm", add_vm_restart},
    {"vm", add_vm_delete},
    {"vm", add_vm_list},
    {"vm", add_vm_show},
    {"vm", add_vm_console},
    {"vm", add_vm_logs},
    {"vm", add_vm_wait},
    {kNoGroup, add_completion},
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

void add_commands(CLI::App& root, Context& context, std::string_view first) {
  const bool one_group = std::ranges::find(kGroups, first, &Group::name) != std::end(kGroups);
  for (const auto& group : kGroups) {
    if (one_group && group.name != first) continue;
    CLI::App* app = nullptr;
    for (const auto& entry : kCommands) {
      if (entry.group != group.name) continue;
      if (app == nullptr) {
        app = root.add_subcommand(std::string{group.name}, group.about);
        app->require_subcommand(0, 1);
        app->fallthrough();
      }
      entry.add(*app, context);
    }
  }
  for (const auto& entry : kCommands) {
    if (entry.group == kNoGroup && !one_group) entry.add(root, context);
  }
}

}  // namespace pcivm::cli
