// SPDX-License-Identifier: GPL-2.0-or-later
// What `--timeline FILE` writes.
#pragma once

#include <string>
#include <string_view>

#include "cli/json.hpp"
#include "vmm/timeline.hpp"

namespace pcivm::cli {

/// Kind VmTimeline: phases in nanoseconds of CLOCK_MONOTONIC and since exec, and the counters.
[[nodiscard]] Json timeline_json(std::string_view name, const vmm::TimelineReport& report);

}  // namespace pcivm::cli
