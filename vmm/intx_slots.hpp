// SPDX-License-Identifier: GPL-2.0-or-later
// Between the INTx pins of assigned functions and the chipset: the lines of each slot, and whom an end of interrupt
// concerns.
#pragma once

#include <array>
#include <functional>
#include <mutex>

#include "vmm/interrupts.hpp"
#include "vmm/intx.hpp"
#include "vmm/pci_bus.hpp"

namespace pcivm::vmm {

class AssignedDevice;

/// Any thread. Lock order: this, the device, the chipset.
class IntxSlots final {
 public:
  struct Wiring {
    std::function<InterruptLine&(Gsi)> connect;  ///< Chipset::connect
    /// Chipset::on_eoi and on_unmask; this object outlives the vCPUs.
    std::function<void(Gsi, std::function<void()>)> on_eoi;
    std::function<void(Gsi, std::function<void()>)> on_unmask;
  };
  explicit IntxSlots(Wiring wiring);
  IntxSlots(const IntxSlots&) = delete;
  IntxSlots& operator=(const IntxSlots&) = delete;
  ~IntxSlots() = default;

  /// Before the guest can use it.
  void add(unsigned slot, AssignedDevice& device);
  /// Afterwards the device hears nothing more; its line is its own to lower. Nothing when the slot is empty.
  void remove(unsigned slot);

 private:
  struct Slot {
    IntxLines lines{};  // made once: a line is for ever
    AssignedDevice* device{};
  };
  void end_of_interrupt(Gsi gsi);
  void unmasked(Gsi gsi);
  void each_at(Gsi gsi, const std::function<void(AssignedDevice&, unsigned pin)>& action) const;

  Wiring wiring_;
  std::mutex mutex_;
  std::array<Slot, PciBus::kSlots> slots_;  // guarded by mutex_
  std::array<bool, kIoapicPins> wanted_{};  // the guest has unmasked it; guarded by mutex_
};

}  // namespace pcivm::vmm
