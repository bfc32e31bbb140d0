// SPDX-License-Identifier: GPL-2.0-or-later
// VMs as units of systemd: pcivm-vm@NAME.service.
#pragma once

#include <chrono>
#include <string>

#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::cli {

/// systemd runs this host, and has the unit.
[[nodiscard]] bool units_run_vms(const SysRoot& root);

/// Starts the VM's unit, and waits until its guest runs. A start that failed is an error of the kind that the unit's
/// exit code says, whose text has the last lines of its journal.
[[nodiscard]] Result<void> start_unit(const std::string& name, std::chrono::milliseconds deadline);

}  // namespace pcivm::cli
