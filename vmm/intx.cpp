// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/intx.hpp"

#include <linux/pci_regs.h>

#include <utility>

#include "base/pci_config.hpp"

namespace pcivm::vmm {

std::optional<unsigned> Intx::pin_of(const vfio::Device& device) {
  const auto& facts = device.irq(vfio::Irq::intx);
  const unsigned pin = config_u8(device.config(), PCI_INTERRUPT_PIN);
  if (facts.count == 0 || !facts.automasked || pin == 0 || pin > IntxLines{}.size()) return std::nullopt;
  return pin - 1;
}

void Intx::set_line(bool asserted) {
  asserted_ = asserted;
  if (auto* const line = lines_.at(pin_).line; line != nullptr) line->set(asserted);
}

void Intx::start() {
  if (started_) return;
  const std::array event{event_.number()};
  auto outcome = device_.set_triggers(vfio::Irq::intx, 0, event);
  started_ = outcome.has_value();
  if (!outcome) report_(outcome.error());
}

void Intx::stop() {
  if (!std::exchange(started_, false)) return;
  if (auto outcome = device_.disable(vfio::Irq::intx); !outcome) report_(outcome.error());
  (void)drain_eventfd(event_);
  set_line(false);
}

void Intx::fired() {
  if (drain_eventfd(event_) != 0 && started_) set_line(true);
}

void Intx::end_of_interrupt() {
  if (!asserted_) return;
  set_line(false);
  if (auto outcome = device_.set_masked(vfio::Irq::intx, false); !outcome) report_(outcome.error());
}

}  // namespace pcivm::vmm
