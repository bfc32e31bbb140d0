// SPDX-License-Identifier: GPL-2.0-or-later
// Steps that creation, removal and repair share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sriov/adapter_trail.hpp"
#include "sriov/eswitch.hpp"
#include "sriov/physical_function.hpp"
#include "vfio/binding_transaction.hpp"

namespace pcivm::sriov {

/// A PF on a VFIO driver makes and removes VFs only if that is vfio-pci with its parameter enable_sriov on: Errc::kernel
/// with the way out where it is not. Others pass.
[[nodiscard]] Result<void> check_given_away(const SysRoot& root, const PhysicalFunction& pf);

inline constexpr std::string_view kIntentCreate{"vf-create"};
inline constexpr std::string_view kIntentDestroy{"vf-destroy"};
inline constexpr std::string_view kIntentSet{"vf-set"};

/// Errc::busy, naming the holders of every VF at once.
[[nodiscard]] Result<void> refuse_vfs_in_use(const vfio::Host& host, Bdf physical,
                                             const std::vector<std::string>& force);

/// Takes each VF from its driver, one by one, so that one that blocks is known by name and the PF's lock is free
/// meanwhile; undoes what the PF's adapter did; sets sriov_numvfs to 0. `journal` may be null during repair.
[[nodiscard]] Result<void> remove_vfs(const vfio::Host& host, vfio::Journal* journal, Bdf physical,
                                      AdapterTrail& trail);

/// Undoes a creation: no VFs, autoprobe as it was.
[[nodiscard]] Result<void> take_back(const vfio::Host& host, Bdf physical, AdapterTrail& trail, bool former_autoprobe);

/// Undoes a change of attributes from its journal record.
[[nodiscard]] Result<void> restore_attributes(const vfio::Host& host, VfPort& port, Bdf physical,
                                              const vfio::Record& record);

/// Sets the eswitch back to what it was, or to what the record says, if it says anything.
[[nodiscard]] Result<void> restore_eswitch(VfPort* port, Bdf physical, const Eswitch& former);
[[nodiscard]] Result<void> restore_eswitch(VfPort* port, Bdf physical, const vfio::Record& record);

/// "0000:01:00.0 is blocked in the kernel ..." for a timeout, else conclude().
[[nodiscard]] Error end_failed(vfio::Journal& journal, Bdf physical, Error cause,
                               const std::function<Result<void>()>& back);

}  // namespace pcivm::sriov
