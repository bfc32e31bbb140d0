// SPDX-License-Identifier: GPL-2.0-or-later
// The one table of all commands.
#pragma once

#include <string_view>

#include "cli/command.hpp"

namespace pcivm::cli {

void add_apply(CLI::App& root, Context& context);
void add_attach(CLI::App& root, Context& context);
void add_completion(CLI::App& root, Context& context);
void add_config_import(CLI::App& group, Context& context);
void add_config_validate(CLI::App& group, Context& context);
void add_detach(CLI::App& root, Context& context);
void add_device_list(CLI::App& group, Context& context);
void add_device_show(CLI::App& group, Context& context);
void add_device_bind(CLI::App& group, Context& context);
void add_device_release(CLI::App& group, Context& context);
void add_device_reset(CLI::App& group, Context& context);
void add_doctor(CLI::App& root, Context& context);
void add_export(CLI::App& root, Context& context);
void add_group_list(CLI::App& group, Context& context);
void add_group_show(CLI::App& group, Context& context);
void add_plan(CLI::App& root, Context& context);
void add_reconcile(CLI::App& root, Context& context);
void add_rollback(CLI::App& root, Context& context);
void add_status(CLI::App& root, Context& context);
void add_topology(CLI::App& root, Context& context);
void add_udev_install(CLI::App& group, Context& context);
void add_udev_rules(CLI::App& group, Context& context);
void add_udev_wait(CLI::App& group, Context& context);
void add_udev_watch(CLI::App& group, Context& context);
void add_vf_create(CLI::App& group, Context& context);
void add_vf_destroy(CLI::App& group, Context& context);
void add_vf_eswitch(CLI::App& group, Context& context);
void add_vf_list(CLI::App& group, Context& context);
void add_vf_set(CLI::App& group, Context& context);
void add_vf_show(CLI::App& group, Context& context);
void add_vm_run(CLI::App& group, Context& context);

/// The first two words of a command line that may name a command.
struct CommandWords {
  std::string_view first{};
  std::string_view second{};
};
/// Fills `root` with every group and command; with the one command, or the one group, that the words name: the whole
/// tree takes longer to make than most commands to run.
void add_commands(CLI::App& root, Context& context, const CommandWords& words);

}  // namespace pcivm::cli
