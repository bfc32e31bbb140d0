// SPDX-License-Identifier: GPL-2.0-or-later
// Functions for the length of one VM: bound when it starts, returned when it ends, however it ends. For the supervisor
// process of a VM, which outlives its VMM; should it be killed too, `pcivm device release` finds the record.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "vfio/binding.hpp"

namespace pcivm::vfio {

struct ManagedBinding {
  Bdf function;
  std::string identity;
  bool must_return{};  ///< false: it was on a VFIO driver already, by the operator's will
  DriverState former;  ///< whom it goes back to
};

struct AcquireRequest {
  std::vector<Bdf> functions{};
  std::string driver{"vfio-pci"};
  std::vector<std::string> force{};
  std::string on_release{};  ///< program that must succeed before anybody else has one of them (release_hook.hpp)
  int owner{};               ///< the supervisor that they belong to; 0 = the calling process
};

/// Takes the host lock, repairs what a crash left behind, and gives every function to the driver, for their owner. All
/// or none: on failure those already bound are returned. Errc::busy when a function is in use or acquired by another
/// living process; Errc::refused when a sibling in one of their groups has a native driver.
[[nodiscard]] Result<std::vector<ManagedBinding>> acquire(const Host& host, const AcquireRequest& request);

/// For the host of an acquire(): the host is read once for all of `functions`, when the first is asked about. Of others
/// it says what iommu::users_of() says.
[[nodiscard]] UsersOf users_at_once(std::vector<Bdf> functions);

/// What a process `owner` has to give back of a function, whoever bound it for that.
[[nodiscard]] Result<ManagedBinding> binding_for(const SysRoot& root, Bdf function, int owner);

/// Returns what must be returned, also after a failure with one of them; that of the first is the result. To be called
/// when the VMM's descriptors are closed: a function that is still open is Errc::busy and stays.
[[nodiscard]] Result<void> give_back(const Host& host, std::span<const ManagedBinding> bindings);

}  // namespace pcivm::vfio
