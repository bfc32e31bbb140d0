// SPDX-License-Identifier: GPL-2.0-or-later
// What of the host's configuration becomes udev rules, and how the files of rules stand to it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/context.hpp"
#include "sriov/host_config.hpp"
#include "sriov/host_state.hpp"
#include "udev/rules.hpp"

namespace pcivm::cli {

/// Devices of the configuration that no function of the host fits are left out, and told by `note` where it is set. VFs
/// that are not there yet get the address that they will have by the PF's sriov_offset and sriov_stride.
[[nodiscard]] udev::RuleFacts rule_facts(const SysRoot& root, const sriov::HostConfig& config,
                                         const sriov::HostState& state,
                                         const std::function<void(std::string_view)>& note = {});

/// A file of rules: what it shall hold and what it holds; empty = the file is not there.
struct RuleFile {
  std::string_view path{};
  std::string wanted{};
  std::string found{};
  [[nodiscard]] bool stale() const { return wanted != found; }
};

/// The early rules, then the others. Without a configuration nothing is wanted.
[[nodiscard]] Result<std::vector<RuleFile>> rule_files(Context& context,
                                                       const std::function<void(std::string_view)>& note = {});

}  // namespace pcivm::cli
