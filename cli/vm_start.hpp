// SPDX-License-Identifier: GPL-2.0-or-later
// Starting and stopping VMs by name.
#pragma once

#include <string>

#include "base/result.hpp"
#include "cli/context.hpp"
#include "cli/json.hpp"
#include "cli/vm_supervisor.hpp"

namespace pcivm::cli {

/// By its unit where systemd has it, else as a process of its own. Returns when the guest runs, or runs already.
[[nodiscard]] Result<void> start_vm(Context& context, const std::string& name);

/// Asks a VM to end and waits until it is gone; how it ended (VmEnd), null when it does not run. With Stop::request
/// Errc::timeout when the guest takes longer than --timeout, or a minute.
[[nodiscard]] Result<Json> stop_vm(Context& context, const std::string& name, Stop how);

}  // namespace pcivm::cli
