// SPDX-License-Identifier: GPL-2.0-or-later
// The values that complete an argument: choices, and what this host has. Reads sysfs only, never who uses what.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/sysroot.hpp"

namespace pcivm::cli {

struct Candidate {
  std::string text;
  std::string about;  ///< one short line, may be empty
};
enum class Paths : std::uint8_t { none, files, directories };
struct Completion {
  std::vector<Candidate> candidates{};
  Paths paths{Paths::none};  ///< to be completed by the shell
};

/// Values of `type` that start with `typed`; `root` is where the host is looked up, null = nowhere. Nothing for a type
/// that is free text.
[[nodiscard]] Completion values_of(const SysRoot* root, std::string_view type, std::string_view typed);

}  // namespace pcivm::cli
