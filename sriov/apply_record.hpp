// SPDX-License-Identifier: GPL-2.0-or-later
// What the functions that an apply touches were before it, kept where a power cut does not reach:
//   /var/lib/pcivm/apply/running  an apply that has not ended
//   /var/lib/pcivm/apply/applied  the last one that ended well, for `pcivm rollback`
// An apply ends by renaming the one to the other, which needs no room on the disk.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::sriov {

struct ApplyRecord {
  std::string plan{};  ///< Plan::id
  std::string boot{};  ///< of the kernel that ran then
  HostState before{};
};

enum class ApplyMark { running, applied };

/// /proc/sys/kernel/random/boot_id; empty where there is none.
[[nodiscard]] std::string boot_id(const SysRoot& root);

/// Keeps `before` as running. Errc::kernel with ENOSPC when the disk is full: nothing was touched then.
[[nodiscard]] Result<void> begin_apply(const SysRoot& root, const std::string& plan, const HostState& before);
/// Running becomes applied, in place of the former one.
[[nodiscard]] Result<void> keep_applied(const SysRoot& root);
/// None there is success.
[[nodiscard]] Result<void> forget_apply(const SysRoot& root, ApplyMark mark);
/// Errc::not_found when there is none, Errc::invalid when it is damaged.
[[nodiscard]] Result<ApplyRecord> load_apply(const SysRoot& root, ApplyMark mark);
/// Puts a running one that cannot be read out of the way, as /var/lib/pcivm/apply/damaged.
[[nodiscard]] Result<void> set_aside(const SysRoot& root);

}  // namespace pcivm::sriov
