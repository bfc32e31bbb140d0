// SPDX-License-Identifier: GPL-2.0-or-later
// The host's side of a function that a running VM is given: what VmDevices does in its child.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/result.hpp"
#include "cli/vm_devices.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/managed.hpp"
#include "vmm/memory_layout.hpp"

namespace pcivm::cli {

struct PlugFacts {
  pid_t supervisor{};  ///< owns what is bound
  pid_t vmm{};         ///< pins the RAM
  bool own_user{};     ///< the VMM shares its user, and what that may lock, with nobody
  std::uint64_t memory{};
  vmm::MemoryLayout layout{};
  bool firmware{};                           ///< places BARs itself, where it likes
  std::string on_release{};                  ///< as in vfio::AcquireRequest
  bool guest_iommu{};                        ///< of the guest: each device has a group of its own
  std::optional<vfio::IommuBackend> wish{};  ///< of the operator, for a VM without devices
};

/// `host` outlives it. A function is checked before it is bound: its BARs must have room in the guest, the VMM must be
/// allowed to lock the RAM; once bound, the RAM must not lie where the IOMMU does not translate. What fails then is
/// given back.
[[nodiscard]] VmDevices::RootSide root_side(const vfio::Host& host, PlugFacts facts);

/// vfio::give_back(), while the kernel may still be closing what another process had open.
[[nodiscard]] Result<void> return_functions(const vfio::Host& host, std::span<const vfio::ManagedBinding> bindings);

}  // namespace pcivm::cli
