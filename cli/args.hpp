// SPDX-License-Identifier: GPL-2.0-or-later
// From arguments to an exit code: reads them, runs the command, prints its error. Nothing is thrown out of here.
#pragma once

#include <cstdio>
#include <map>
#include <span>
#include <string>

#include "cli/context.hpp"

namespace pcivm::cli {

/// What --output may be, by name.
[[nodiscard]] const std::map<std::string, Output>& output_forms();

/// `arguments` as main() gets them, the program's name first. Data goes to `out`, messages to `err`.
[[nodiscard]] int run(std::span<char* const> arguments, std::FILE* out, std::FILE* err);

}  // namespace pcivm::cli
