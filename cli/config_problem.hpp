// SPDX-License-Identifier: GPL-2.0-or-later
// What is wrong with a configuration, and where. Reading goes on after a problem, so that all are told at once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

struct ConfigProblem {
  sriov::Place place{};
  std::string text{};  ///< what was found, what is wanted
  std::string hint{};  ///< the nearest valid key and the like; may be empty
  bool operator==(const ConfigProblem&) const = default;
};
using ConfigProblems = std::vector<ConfigProblem>;
/// So many are told of one file.
inline constexpr std::size_t kConfigMostProblems{50};

/// A word of a file as it is shown in a problem, cut when it is long.
[[nodiscard]] std::string excerpt(std::string_view word);

/// "/etc/pcivm/host.yaml:12:7: TEXT", as an error of kind invalid with code "config.invalid".
[[nodiscard]] Error as_error(const ConfigProblem& problem);
/// The first of them; the hint tells how to see the others. `problems` is not empty.
[[nodiscard]] Error as_error(const ConfigProblems& problems);

}  // namespace pcivm::cli
