// SPDX-License-Identifier: GPL-2.0-or-later
// Guest writes that only say "look": KVM turns them into a signal on an eventfd, without an exit to this process.
#pragma once

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace pcivm::vmm {

/// Any thread but rebind(). Each change costs the kernel a grace period before Linux 6.18 (kvm_io_bus_register_dev).
class Doorbells final {
 public:
  /// `vm` is borrowed and outlives the object.
  Doorbells(IoctlPort& port, FdRef vm) : port_{port}, vm_{vm.number()} {}

  /// Carries on with another VM, which has no doorbells. For a guest reboot, while no vCPU runs and none is attached.
  void rebind(FdRef vm) { vm_ = vm.number(); }

  /// KVM_IOEVENTFD: a write of any width and value that starts at `address` signals `event`.
  [[nodiscard]] Result<void> attach(Gpa address, FdRef event) { return change(address, event, 0); }
  [[nodiscard]] Result<void> detach(Gpa address, FdRef event);

 private:
  [[nodiscard]] Result<void> change(Gpa address, FdRef event, std::uint32_t flags);
  IoctlPort& port_;
  int vm_;
};

}  // namespace pcivm::vmm
