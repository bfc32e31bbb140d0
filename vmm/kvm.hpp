// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/kvm and one virtual machine made of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {

using CpuidTable = std::vector<kvm_cpuid_entry2>;

/// The KVM of this host. Any thread.
class Kvm final {
 public:
  /// Takes an open /dev/kvm. Errc::kernel when the API is not version 12 or a capability is missing; the text names it.
  [[nodiscard]] static Result<Kvm> adopt(IoctlPort& port, Fd device);

  /// KVM_CHECK_EXTENSION: 0 = absent, else present or a count.
  [[nodiscard]] Result<int> extension(unsigned long capability) const;
  /// All that this host can offer to a guest (KVM_GET_SUPPORTED_CPUID).
  [[nodiscard]] Result<CpuidTable> supported_cpuid() const;
  /// Bytes of the kvm_run mapping of a vCPU.
  [[nodiscard]] std::size_t run_size() const { return run_size_; }
  [[nodiscard]] Result<Fd> create_vm() const;

 private:
  Kvm(IoctlPort& port, Fd device, std::size_t run_size)
      : port_{&port}, device_{std::move(device)}, run_size_{run_size} {}
  IoctlPort* port_;
  Fd device_;
  std::size_t run_size_;
};

/// One VM: local APICs in KVM, IOAPIC (24 pins), PIC and PIT outside (split irqchip). Any thread.
class Vm final {
 public:
  [[nodiscard]] static Result<Vm> create(IoctlPort& port, const Kvm& kvm);

  /// For the collaborators that make their own requests; valid as long as the Vm.
  [[nodiscard]] FdRef ref() const { return fd_.ref(); }
  [[nodiscard]] Result<Fd> create_vcpu(unsigned index) const;

  /// Tells KVM of a VFIO group or device that this VM uses (Documentation/virt/kvm/devices/vfio.rst). Before the device
  /// is opened, so that the kernel knows its VM from the first moment.
  [[nodiscard]] Result<void> add_vfio(FdRef group_or_device);
  /// KVM lets go of it: until then a device stays open though its descriptor is closed.
  [[nodiscard]] Result<void> remove_vfio(FdRef group_or_device);

 private:
  Vm(IoctlPort& port, Fd fd) : port_{&port}, fd_{std::move(fd)} {}
  [[nodiscard]] Result<void> change_vfio(FdRef group_or_device, std::uint64_t attribute);
  IoctlPort* port_;
  Fd fd_;
  Fd vfio_;  // the KVM_DEV_TYPE_VFIO pseudo device; none until the first add_vfio
};

}  // namespace pcivm::vmm
