// SPDX-License-Identifier: GPL-2.0-or-later
// One step of a plan, by the transaction that pcivm has for it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sriov/host_plan.hpp"
#include "sriov/vf_set.hpp"

namespace pcivm::sriov {

struct StepTools {
  const vfio::Host& host;
  const vfio::HostLock& lock;
  VfPort* port{};  ///< null: no attribute can be set
  std::vector<std::string> force{};
  std::span<const AdapterKind> adapters{builtin_adapters()};
};

/// How many steps from the first on are one transaction: changes of attributes of one PF's VFs go together, everything
/// else by itself. Zero only for none.
[[nodiscard]] std::size_t joint(std::span<const PlanStep> steps);
/// So many, or one. Journalled, checked, read back, and undone by itself when it fails.
[[nodiscard]] Result<void> carry_out(const StepTools& tools, std::span<const PlanStep> steps);

/// Errc::busy, naming the holders of everything that any of the steps takes from somebody.
[[nodiscard]] Result<void> refuse_in_use(const StepTools& tools, std::span<const PlanStep> steps);

}  // namespace pcivm::sriov
