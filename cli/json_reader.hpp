// SPDX-License-Identifier: GPL-2.0-or-later
// JSON that somebody else wrote.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "cli/json.hpp"

namespace pcivm::cli {

/// Errc::invalid: no JSON, not UTF-8, a key twice, numbers that are none, or nested deeper than `most_depth`.
[[nodiscard]] Result<Json> parse_json(std::string_view text, unsigned most_depth);

}  // namespace pcivm::cli
