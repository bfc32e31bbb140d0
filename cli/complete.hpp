// SPDX-License-Identifier: GPL-2.0-or-later
// What may stand next on a command line, for the shells' completion. It is found in the tree of arguments, so a new
// command or option completes by itself; the values of an option or argument follow from its type name in the help:
// "a|b|c" is a choice, DEVICE, PF, VF, GROUP, DRIVER, VM, CHECK, FILE and DIR are looked up (complete_values.hpp).
#pragma once

#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/complete_values.hpp"

namespace pcivm::cli {

/// `words` without the program's name; the last one is being typed and may be empty. Only candidates that start with
/// what is typed are returned. Never fails: what cannot be found out gives no candidates.
[[nodiscard]] Completion complete(const CLI::App& root, std::span<const std::string> words);

/// One line each: "TEXT<tab>ABOUT"; the line ":files" or ":dirs" leaves it to the shell to complete paths.
[[nodiscard]] std::string to_text(const Completion& completion);

/// Does the option take a value?
[[nodiscard]] bool takes_value(const CLI::Option& option);
/// What the help calls its value ("DEVICE"), without what CLI11 adds for validators.
[[nodiscard]] std::string type_of(const CLI::Option& option);

}  // namespace pcivm::cli
