// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/intx_slots.hpp"

#include <utility>

#include "vmm/assigned_device.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

IntxSlots::IntxSlots(Wiring wiring) : wiring_{std::move(wiring)} {
  for (auto gsi = platform::gsi::kFirstIntx; gsi < kIoapicPins; ++gsi) {
    wiring_.on_eoi(gsi, [this, gsi] { end_of_interrupt(gsi); });
  }
}

void IntxSlots::add(unsigned slot, AssignedDevice& device) {
  const std::scoped_lock lock{mutex_};
  auto& target = slots_.at(slot);
  for (unsigned pin = 0; pin < target.lines.size(); ++pin) {
    if (target.lines[pin] == nullptr) target.lines[pin] = &wiring_.connect(platform::gsi::intx(slot, pin));
  }
  device.connect_intx(target.lines);
  target.device = &device;
}

void IntxSlots::remove(unsigned slot) {
  const std::scoped_lock lock{mutex_};
  slots_.at(slot).device = nullptr;
}

void IntxSlots::end_of_interrupt(Gsi gsi) {
  const std::scoped_lock lock{mutex_};
  for (unsigned slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].device == nullptr) continue;
    for (unsigned pin = 0; pin < IntxLines{}.size(); ++pin) {
      if (platform::gsi::intx(slot, pin) == gsi) slots_[slot].device->end_of_interrupt(pin);
    }
  }
}

}  // namespace pcivm::vmm
