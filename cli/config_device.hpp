// SPDX-License-Identifier: GPL-2.0-or-later
// One device of a configuration.
#pragma once

#include "cli/config_map.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

/// `map` is what stands below its name. Problems go to the sink of `map`.
[[nodiscard]] sriov::DeviceEntry read_device(ConfigMap& map, const std::string& name);
/// What stands below `sriov`.
[[nodiscard]] sriov::SriovEntry read_sriov(ConfigMap& map);

inline constexpr unsigned kMostVfs{65'535};

}  // namespace pcivm::cli
