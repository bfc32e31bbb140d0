// SPDX-License-Identifier: GPL-2.0-or-later
// The I/O APIC: 24 pins to messages (Intel 82093AA, 290566; EOI register as in ICH9, version 0x20).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// Delivers with KVM_SIGNAL_MSI, and mirrors each unmasked level-triggered entry into the GSI route of its pin, because
/// KVM reports with KVM_EXIT_IOAPIC_EOI exactly the vectors that it finds there (arch/x86/kvm/irq_comm.c,
/// kvm_scan_ioapic_routes). Edge entries need no EOI and get no route: each change of the table costs a grace period.
/// The polarity bit is kept and ignored: lines are asserted or not. Any thread. Offsets: IOREGSEL 0, IOWIN 0x10, EOI
/// 0x40, each 32 bits.
class Ioapic final : public IoHandler {
 public:
  struct Callbacks {
    std::function<void()> on_mask_change;  ///< an entry was masked or unmasked; called without lock
    std::function<void(Error)> report;     ///< the kernel refused a route; called with the lock held
  };
  /// `routes` outlives the object.
  Ioapic(InterruptRoutes& routes, Callbacks callbacks) : routes_{routes}, callbacks_{std::move(callbacks)} {}

  void set(unsigned pin, bool asserted);
  [[nodiscard]] bool masked(unsigned pin) const;
  /// A local APIC finished `vector` (KVM_EXIT_IOAPIC_EOI): every level pin with it may interrupt again. First runs the
  /// listeners of these pins, without lock, then delivers anew what is still asserted.
  void eoi(std::uint8_t vector);
  /// `listener` runs at each EOI of `pin`, on the thread that made it, for the life of this object; it may move lines.
  void on_eoi(unsigned pin, std::function<void()> listener);
  /// `listener` runs each time `pin` is unmasked, without lock, on the thread that did it, for the life of this object;
  /// it may move lines.
  void on_unmask(unsigned pin, std::function<void()> listener);

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  /// Power-on state: everything masked; the levels on the pins stay.
  void reset();

 private:
  struct Pin {
    std::uint64_t entry{1U << 16U};  ///< masked; redirection table entry without its read-only bits
    bool asserted{};
    bool pending{};  ///< an edge not yet delivered
    bool remote_irr{};
    std::vector<std::function<void()>> eoi_listeners;
    std::vector<std::function<void()>> unmask_listeners;
  };
  [[nodiscard]] std::uint32_t masks() const;
  [[nodiscard]] std::uint32_t read_register() const;
  void write_register(std::uint32_t value);
  void write_entry(unsigned pin, bool high, std::uint32_t value);
  void mirror(unsigned pin);
  void commit();
  void deliver(Pin& pin);

  InterruptRoutes& routes_;
  Callbacks callbacks_;
  mutable std::mutex mutex_;
  std::uint8_t select_{};              // guarded by mutex_
  std::uint32_t id_{};                 // guarded by mutex_
  std::array<Pin, kIoapicPins> pins_;  // guarded by mutex_
};

}  // namespace pcivm::vmm
