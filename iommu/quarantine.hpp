// SPDX-License-Identifier: GPL-2.0-or-later
// Functions that must not be given to anybody because their last reset failed: /run/pcivm/quarantine/BDF, written by
// vfio/quarantine. Here it is only read.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"

namespace pcivm::iommu {

struct Quarantine {
  std::string reason{};
  std::string since{};     ///< UTC, "2026-05-01T12:00:00Z"
  std::string identity{};  ///< of the function that it is about, as vfio::identity_of
};

/// Nothing when the function is not in quarantine. A damaged record counts: its reason then says so.
[[nodiscard]] std::optional<Quarantine> quarantine_of(const SysRoot& root, Bdf function);

/// Names of all functions in quarantine; for asking about many.
[[nodiscard]] std::set<std::string> quarantined(const SysRoot& root);

}  // namespace pcivm::iommu
