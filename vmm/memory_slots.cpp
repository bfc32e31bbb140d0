// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/memory_slots.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {

void MemorySlots::rebind(FdRef vm) {
  const std::scoped_lock lock{mutex_};
  vm_ = vm.number();
  used_.clear();
}

Result<void> MemorySlots::set(SlotId slot, Gpa gpa, Hva hva, std::uint64_t length, std::uint32_t flags) const {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.flags = flags;
  region.guest_phys_addr = gpa.value;
  region.memory_size = length;
  region.userspace_addr = hva.value;
  TRY_IN(kvm::set_user_memory_region(port_, FdRef{vm_}, region),
         fmt::format("memory slot {} at {:#x}+{:#x}", slot, gpa.value, length));
  return {};
}

Result<SlotId> MemorySlots::add(Gpa gpa, Hva hva, std::uint64_t length, Kind kind) {
  const std::scoped_lock lock{mutex_};
  const auto free = std::ranges::find(used_, false);
  const auto slot = static_cast<SlotId>(free - used_.begin());
  TRY(set(slot, gpa, hva, length, kind == Kind::read_only ? KVM_MEM_READONLY : 0U));
  if (slot == used_.size()) {
    used_.push_back(true);
  } else {
    used_[slot] = true;
  }
  return slot;
}

Result<void> MemorySlots::remove(SlotId slot) {
  const std::scoped_lock lock{mutex_};
  if (slot >= used_.size() || !used_[slot]) {
    return fail(Errc::internal, fmt::format("memory slot {} is not in use", slot));
  }
  TRY(set(slot, Gpa{}, Hva{}, 0, 0));
  used_[slot] = false;
  return {};
}

}  // namespace pcivm::vmm
