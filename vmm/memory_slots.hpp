// SPDX-License-Identifier: GPL-2.0-or-later
// KVM memory slots: which host memory the guest sees at which physical address without an exit.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace pcivm::vmm {

using SlotId = std::uint32_t;

/// Any thread. A change costs the kernel a grace period, so slots are few and changed only when they must be.
class MemorySlots final {
 public:
  /// `vm` is borrowed and outlives the object.
  MemorySlots(IoctlPort& port, FdRef vm) : port_{port}, vm_{vm.number()} {}

  /// Carries on with another VM, which has no slots: all that were added here are forgotten. For a guest reboot, while
  /// no vCPU runs.
  void rebind(FdRef vm);

  enum class Kind : std::uint8_t { ram, read_only };
  /// All three are page-aligned. The host memory stays mapped until remove() returned.
  [[nodiscard]] Result<SlotId> add(Gpa gpa, Hva hva, std::uint64_t length, Kind kind = Kind::ram);
  [[nodiscard]] Result<void> remove(SlotId slot);

 private:
  [[nodiscard]] Result<void> set(SlotId slot, Gpa gpa, Hva hva, std::uint64_t length, std::uint32_t flags) const;
  IoctlPort& port_;
  int vm_;
  std::mutex mutex_;
  std::vector<bool> used_;  // by slot number; guarded by mutex_
};

}  // namespace pcivm::vmm
