// SPDX-License-Identifier: GPL-2.0-or-later
// Errors for the operator: text and hint on stderr, or one object with -o json and yaml.
#pragma once

#include <optional>

#include "cli/command.hpp"

namespace pcivm::cli {

/// Prints `error` and returns the exit code that goes with it, or `exit` where that is another (128 + a signal).
int report(Context& context, const Error& error, std::optional<int> exit = {});

/// What CLI11 complained about, as an Error of kind invalid; `where` is the innermost command that was recognised.
/// A mistyped command or option gets the nearest one as its hint.
[[nodiscard]] Error usage_error(const CLI::App& where, const CLI::ParseError& problem);

}  // namespace pcivm::cli
