// SPDX-License-Identifier: GPL-2.0-or-later
// What cannot be in a configuration as a whole, whatever the host.
#pragma once

#include "cli/config_problem.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

/// Names both places of what is there twice.
void check_config(const sriov::HostConfig& config, ConfigProblems& problems);

}  // namespace pcivm::cli
