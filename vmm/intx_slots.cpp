// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/intx_slots.hpp"

#include <utility>

#include "vmm/assigned_device.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

IntxSlots::IntxSlots(Wiring wiring) : wiring_{std::move(wiring)} {
  for (auto gsi = platform::gsi::kFirstIntx; gsi < kIoapicPins; ++gsi) {
    wiring_.on_eoi(gsi, [this, gsi] { end_of_interrupt(gsi); });
    wiring_.on_unmask(gsi, [this, gsi] { unmasked(gsi); });
  }
}

void IntxSlots::add(unsigned slot, AssignedDevice& device) {
  const std::scoped_lock lock{mutex_};
  auto& target = slots_.at(slot);
  for (unsigned pin = 0; pin < target.lines.size(); ++pin) {
    auto& line = target.lines[pin];
    const auto gsi = platform::gsi::intx(slot, pin);
    if (line.line == nullptr) line.line = &wiring_.connect(gsi);
    line.wanted = wanted_.at(gsi);
  }
  device.connect_intx(target.lines);
  target.device = &device;
}

void IntxSlots::remove(unsigned slot) {
  const std::scoped_lock lock{mutex_};
  slots_.at(slot).device = nullptr;
}

void IntxSlots::each_at(Gsi gsi, const std::function<void(AssignedDevice&, unsigned pin)>& action) const {
  for (unsigned slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].device == nullptr) continue;
    for (unsigned pin = 0; pin < IntxLines{}.size(); ++pin) {
      if (platform::gsi::intx(slot, pin) == gsi) action(*slots_[slot].device, pin);
    }
  }
}

void IntxSlots::end_of_interrupt(Gsi gsi) {
  const std::scoped_lock lock{mutex_};
  each_at(gsi, [](AssignedDevice& device, unsigned pin) { device.end_of_interrupt(pin); });
}

// Once is enough: a driver that masks its interrupt for a while does not give it up.
void IntxSlots::unmasked(Gsi gsi) {
  const std::scoped_lock lock{mutex_};
  if (std::exchange(wanted_.at(gsi), true)) return;
  each_at(gsi, [](AssignedDevice& device, unsigned pin) { device.want_intx(pin); });
}

}  // namespace pcivm::vmm
