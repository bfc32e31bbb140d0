// SPDX-License-Identifier: GPL-2.0-or-later
// The options that name the switch inside a PF, of `vf create` and `vf eswitch`.
#pragma once

#include <string>

#include "base/result.hpp"
#include "cli/command.hpp"
#include "sriov/eswitch.hpp"

namespace pcivm::cli {

/// As given; empty = not given.
struct EswitchOptions {
  std::string mode;
  std::string inline_mode;
  std::string encap;
};

/// `mode` is the name of the option for the mode.
void add_eswitch_options(CLI::App& command, EswitchOptions& options, const std::string& mode);
[[nodiscard]] Result<sriov::Eswitch> eswitch_of(const EswitchOptions& options);

}  // namespace pcivm::cli
