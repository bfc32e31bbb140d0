// SPDX-License-Identifier: GPL-2.0-or-later
// All legacy devices of the machine, wired to each other and put on the two buses.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/legacy/clock.hpp"

namespace pcivm::vmm {

class Pic;
class Serial;

/// What the chipset asks of the machine. Called on vCPU threads or the loop thread, possibly with a device locked:
/// each only notes or posts, and never calls the chipset from inside. All but serial_output may be empty.
struct ChipsetCallbacks {
  std::function<void()> reset;      ///< the guest asks for a machine reset; may come more than once
  std::function<void()> power_off;  ///< the guest entered S5; the same
  /// The PIC's INTR rose: make vCPU 0 look at pic().pending().
  std::function<void()> extint;
  std::function<void(std::span<const std::byte>)> serial_output;  ///< from COM1; must not block: OutputRing::push
  std::function<void()> serial_ready;                             ///< serial().receive() takes more again
  std::function<void(Error)> report;                              ///< the kernel refused something; carry on
};

struct ChipsetOptions {
  bool keyboard{true};  ///< agrees with AcpiConfig
  bool firmware{};      ///< the guest starts with one
  Clocks clocks = system_clocks();
};

class Chipset final {
 public:
  /// Everything passed outlives the chipset. Loop thread; destroyed there too, when no vCPU runs any more.
  [[nodiscard]] static Result<std::unique_ptr<Chipset>> create(EventLoop& loop, InterruptRoutes& routes, IoBus& ports,
                                                               IoBus& memory, ChipsetCallbacks callbacks,
                                                               ChipsetOptions options = {});
  Chipset(const Chipset&) = delete;
  Chipset& operator=(const Chipset&) = delete;
  ~Chipset();

  /// A new source at `gsi`, lowered, living as long as the chipset; sources of one GSI are or-ed. Call once for each
  /// source and keep the reference. GSIs below 16 reach the PIC too. Any thread.
  [[nodiscard]] InterruptLine& connect(Gsi gsi);
  /// KVM_EXIT_IOAPIC_EOI. Any thread.
  void eoi(std::uint8_t vector);
  /// `listener` runs at each EOI of a level interrupt at `gsi`, on the vCPU thread that made it and before the line is
  /// looked at again: an assigned device lowers its line and unmasks its INTx there. For ever.
  void on_eoi(Gsi gsi, std::function<void()> listener);
  /// `listener` runs each time the guest unmasks `gsi` in the IOAPIC, on the vCPU thread that did. For ever.
  void on_unmask(Gsi gsi, std::function<void()> listener);

  [[nodiscard]] Pic& pic();
  [[nodiscard]] Serial& serial();
  /// Asks the guest to power off. Any thread.
  void press_power_button();
  /// All devices to power-on state, for a guest reboot while no vCPU runs. Loop thread.
  void reset();

 private:
  struct Parts;
  explicit Chipset(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace pcivm::vmm
