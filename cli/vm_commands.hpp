// SPDX-License-Identifier: GPL-2.0-or-later
// Commands about VMs that have a name; for commands.cpp.
#pragma once

#include "cli/command.hpp"

namespace pcivm::cli {

void add_vm_create(CLI::App& group, Context& context);
void add_vm_start(CLI::App& group, Context& context);
void add_vm_stop(CLI::App& group, Context& context);
void add_vm_restart(CLI::App& group, Context& context);
void add_vm_delete(CLI::App& group, Context& context);
void add_vm_list(CLI::App& group, Context& context);
void add_vm_set(CLI::App& group, Context& context);
void add_vm_show(CLI::App& group, Context& context);
void add_vm_console(CLI::App& group, Context& context);
void add_vm_logs(CLI::App& group, Context& context);
void add_vm_wait(CLI::App& group, Context& context);

}  // namespace pcivm::cli
