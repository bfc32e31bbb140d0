// SPDX-License-Identifier: GPL-2.0-or-later
// From the texts of a configuration to what they say (docs/config.md). Pure.
#pragma once

#include <span>
#include <string>

#include "cli/config_problem.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

inline constexpr std::string_view kConfigVersion{"pcivm/v1"};
inline constexpr std::string_view kConfigKind{"HostConfig"};

struct ConfigText {
  std::string file{};  ///< as it is named in problems
  std::string text{};
};

/// All texts merged, in their order. Each device, pool and default has one owner: what two texts say of the same must
/// be the same. Not to be used when there are problems, which are added to `problems`.
[[nodiscard]] sriov::HostConfig read_config(std::span<const ConfigText> texts, ConfigProblems& problems);

}  // namespace pcivm::cli
