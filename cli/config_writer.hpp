// SPDX-License-Identifier: GPL-2.0-or-later
// A configuration as the text of a file.
#pragma once

#include <string>

#include "cli/json.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

/// Keys in the order of docs/config.md, only those that are set; what is read from it equals `config` but for places
/// and files. The same configuration gives the same text.
[[nodiscard]] std::string write_config(const sriov::HostConfig& config);
/// The same as JSON.
[[nodiscard]] Json config_document(const sriov::HostConfig& config);

}  // namespace pcivm::cli
