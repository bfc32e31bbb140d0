// SPDX-License-Identifier: GPL-2.0-or-later
// The commands with their options and arguments as data: what man pages and tests are made from (`pcivm __tree`).
#pragma once

#include <CLI/CLI.hpp>

#include "cli/json.hpp"

namespace pcivm::cli {

/// {name, about, options[{names[], type, about, default}], arguments[{name, type, about, required, many}], commands[]}.
/// `type` is null for a flag, `default` null without one. Hidden options are left out.
[[nodiscard]] Json tree_of(const CLI::App& app);

}  // namespace pcivm::cli
