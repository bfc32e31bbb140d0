// SPDX-License-Identifier: GPL-2.0-or-later
// May a function be given to a VM, and if not, why not and what can be done.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/group.hpp"
#include "iommu/host_caps.hpp"
#include "iommu/in_use.hpp"
#include "iommu/quarantine.hpp"

namespace pcivm::iommu {

/// `code` is stable and is what --force names:
///   bridge, no-iommu, no-iommu-group, group-not-viable, in-use, vfs-enabled, no-reset, no-interrupt-remapping,
///   no-vfio, quarantined
struct Reason {
  std::string code{};
  std::string text{};
  std::string fix{};  ///< what the operator can do; empty = nothing
};

struct Assignable {
  std::vector<Reason> reasons;
  [[nodiscard]] bool ok() const { return reasons.empty(); }
};

/// All reasons against, not only the first. `users` as users_of gives them.
[[nodiscard]] Result<Assignable> assignable(const SysRoot& root, const HostCaps& host, const FunctionDetail& function,
                                            const std::vector<InUse>& users);

/// The same of what was read already: the members of the function's group, itself among them, and its quarantine.
[[nodiscard]] Assignable assignable(const HostCaps& host, const FunctionDetail& function,
                                    const std::vector<InUse>& users, const std::vector<Member>& group,
                                    const std::optional<Quarantine>& quarantine);

}  // namespace pcivm::iommu
