// SPDX-License-Identifier: GPL-2.0-or-later
// The steps from a PF without VFs to one whose VFs have their attributes and their drivers: for creation, for a change
// of their number, and for the undo and repair of that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sriov/adapter_trail.hpp"
#include "sriov/eswitch.hpp"
#include "sriov/physical_function.hpp"
#include "sriov/vf_port.hpp"
#include "sriov/vf_wish.hpp"
#include "vfio/binding_transaction.hpp"

namespace pcivm::sriov {

/// What one VF shall be.
struct VfTarget {
  VfWish wish{};
  vfio::Target driver{.driver = "", .driver_override = ""};  ///< no name: the native one, if there is any
  bool keep_driver{};  ///< a VF that is there, or was before a change of their number, stays with its driver
  bool operator==(const VfTarget&) const = default;
};

struct Making {
  const vfio::Host& host;
  VfPort* port;  ///< may be null when no wish needs it
  vfio::Journal& journal;
  AdapterTrail& trail;
  Bdf physical;
  bool autoprobe_after{true};
  /// Of VFs that were there before, by index: what each was before it was bound (vfio::Bound), to be kept with its
  /// driver.
  std::vector<std::optional<vfio::Record>> bound{};
  Eswitch eswitch{};  ///< set where the PF's driver wants it
};

/// One VF a target. With autoprobe off no native driver sees them; attributes come before drivers. Stops at the first
/// failure, undoing nothing. Fewer VFs than asked, and attributes that were accepted but are not so, are Errc::kernel.
[[nodiscard]] Result<std::vector<Bdf>> make_vfs(const Making& making, const std::vector<VfTarget>& targets);

/// The same as lines for --dry-run; and the part of it about drivers.
[[nodiscard]] std::vector<std::string> describe_drivers(const std::vector<VfTarget>& targets);
[[nodiscard]] std::vector<std::string> describe_making(const PhysicalFunction& pf, const std::vector<VfTarget>& targets,
                                                       bool autoprobe_after);

}  // namespace pcivm::sriov
