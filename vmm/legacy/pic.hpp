// SPDX-License-Identifier: GPL-2.0-or-later
// The pair of 8259A of a PC: IRQ 0..7 on the master, 8..15 on the slave, which hangs at the master's line 2.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

#include "vmm/legacy/pic_chip.hpp"

namespace pcivm::vmm {

/// Its output is INTR of CPU 0. With KVM's split irqchip the VMM makes the INTA cycle itself: when pending() and
/// kvm_run says ready_for_interrupt_injection, `KVM_INTERRUPT` with acknowledge(), else ask for an interrupt window;
/// after each acknowledge(), ask pending() again. Any thread.
class Pic final {
 public:
  struct Callbacks {
    std::function<void()> on_interrupt;    ///< INTR rose; called without lock on the thread that caused it
    std::function<void()> on_mask_change;  ///< an IMR changed; the same
  };
  explicit Pic(Callbacks callbacks) : callbacks_{std::move(callbacks)} {}

  /// `irq` 0..15; 2 has no input.
  void set(unsigned irq, bool asserted);
  [[nodiscard]] bool pending() const;
  /// The INTA cycle: the vector to inject. With nothing pending, the spurious IRQ 7 or 15.
  [[nodiscard]] std::uint8_t acknowledge();
  [[nodiscard]] bool masked(unsigned irq) const;

  /// `port` is one of port::kPicMaster, kPicSlave, kElcr and the one after each.
  [[nodiscard]] std::uint8_t read(std::uint16_t port);
  void write(std::uint16_t port, std::uint8_t value);
  void reset();

 private:
  [[nodiscard]] PicChip& chip(std::uint16_t port);
  /// Passes the slave's output on; true when INTR rose. Called with mutex_ held after every change.
  [[nodiscard]] bool settle();
  void notify(bool rose) const;

  Callbacks callbacks_;
  mutable std::mutex mutex_;
  PicChip master_{0x04, 0xf8};  // guarded by mutex_; IRQ 0, 1, 2 are always edge
  PicChip slave_{0x00, 0xde};   // guarded by mutex_; IRQ 8 and 13 are always edge
  bool output_{};               // guarded by mutex_
};

}  // namespace pcivm::vmm
