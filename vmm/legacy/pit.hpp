// SPDX-License-Identifier: GPL-2.0-or-later
// The 8254 programmable interval timer (Intel 231164) with port 0x61.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

#include "vmm/interrupts.hpp"
#include "vmm/legacy/clock.hpp"
#include "vmm/legacy/pit_counter.hpp"

namespace pcivm::vmm {

/// Counter 0 drives IRQ 0 from a timer; everything else is computed from the clock when it is read. The timer runs only
/// while counter 0 counts towards an edge and somebody would see it. Any thread.
class Pit final {
 public:
  struct Wiring {
    InterruptLine& irq0;               ///< outlives the object
    std::function<Nanoseconds()> now;  ///< monotonic
    std::function<bool()> irq_wanted;  ///< false while IRQ 0 is masked everywhere; called with the lock held
  };
  explicit Pit(Wiring wiring);

  /// Calls tick(); before the first access. Outlives the object.
  void use(Timer& timer) { timer_ = &timer; }
  /// The timer expired. Ticks missed meanwhile are one edge: a guest that was not run must not be flooded.
  void tick();
  /// irq_wanted may answer differently now.
  void mask_changed();

  /// `port` is one of port::kPit..+3, port::kSystemB.
  [[nodiscard]] std::uint8_t read(std::uint16_t port);
  void write(std::uint16_t port, std::uint8_t value);
  void reset();

 private:
  void write_control(std::uint8_t value, PitTicks now);
  [[nodiscard]] std::uint8_t read_system_b(PitTicks now) const;
  [[nodiscard]] PitTicks now() const;
  void schedule(PitTicks time);

  Wiring wiring_;
  Timer* timer_{};
  std::mutex mutex_;
  std::array<PitCounter, 3> counters_;  // guarded by mutex_
  std::uint8_t system_b_{};             // bits 0..3 of port 0x61; guarded by mutex_
  bool armed_{};                        // guarded by mutex_
};

}  // namespace pcivm::vmm
