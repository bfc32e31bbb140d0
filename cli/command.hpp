// SPDX-License-Identifier: GPL-2.0-or-later
// How a command joins the tree of arguments. Each cmd_*.cpp exports one
// `void add_GROUP_VERB(CLI::App& group, Context& context)`, which is listed in commands.cpp and nowhere else:
//
//   void add_device_bind(CLI::App& group, Context& context) {
//     auto& args = context.keep<BindArguments>();
//     auto& command = add_command(group, context, "bind", "give a function to another driver",
//                                 [&args](Context& here) { return bind(here, args); });
//     command.add_option("device", args.device, "BDF or selector")->required();
//   }
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "cli/context.hpp"

namespace pcivm::cli {

/// Adds a leaf to `group`; `action` runs after all arguments are read. The reference lives as long as `group`.
CLI::App& add_command(CLI::App& group, Context& context, const std::string& name, const std::string& about,
                      Action action);

}  // namespace pcivm::cli
