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
    std::function<InterruptLine&(Gsi)> connect;              ///< Chipset::connect
    std::function<void(Gsi, std::function<void()>)> on_eoi;  ///< Chipset::on_eoi; this object outlives the vCPUs
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

  Wiring wiring_;
  std::mutex mutex_;
  std::array<Slot, PciBus::kSlots> slots_;  // guarded by mutex_
};

}  // namespace pcivm::vmm
