// SPDX-License-Identifier: GPL-2.0-or-later
// Another number of VFs than there is: only through none, so all that exist are made anew (pci/iov.c refuses the direct
// way with EBUSY). What each VF was is kept in the journal until the new ones are complete.
#pragma once

#include <string>
#include <vector>

#include "sriov/vf_make.hpp"
#include "sriov/vf_set.hpp"

namespace pcivm::sriov {

inline constexpr std::string_view kIntentRecreate{"vf-recreate"};

/// Errc::busy, naming every holder, while any VF is used; otherwise Errc::busy with the way to allow it.
[[nodiscard]] Result<void> check_recreate(const vfio::Host& host, const PhysicalFunction& pf,
                                          const CreateRequest& request);

/// Destroys all VFs and makes those of the request. VFs with an index below both numbers keep their attributes and
/// drivers, unless the request names others. When that fails: as many as before, as they were (Errc::rolled_back).
[[nodiscard]] Result<std::vector<Bdf>> recreate(const vfio::Host& host, const PhysicalFunction& pf,
                                                const CreateRequest& request);
/// Every step, and what is lost.
[[nodiscard]] Result<std::vector<std::string>> preview_recreate(const vfio::Host& host, const PhysicalFunction& pf,
                                                                const CreateRequest& request);
/// After a crash: as many VFs as before, as they were.
[[nodiscard]] Result<std::string> repair_recreate(const vfio::Host& host, VfPort* port,
                                                  std::span<const AdapterKind> adapters, Bdf physical,
                                                  const vfio::Record& record);

}  // namespace pcivm::sriov
