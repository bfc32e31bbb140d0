// SPDX-License-Identifier: GPL-2.0-or-later
// --force=CHECK: each names exactly one check that is left out; its name stands beside the check.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace pcivm::vfio {

[[nodiscard]] inline bool forced(const std::vector<std::string>& force, std::string_view check) {
  return std::ranges::find(force, check) != force.end();
}

}  // namespace pcivm::vfio
