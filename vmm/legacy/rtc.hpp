// SPDX-License-Identifier: GPL-2.0-or-later
// The MC146818 real-time clock with its CMOS memory (Motorola MC146818A; century byte as on PCs).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "vmm/interrupts.hpp"
#include "vmm/legacy/clock.hpp"
#include "vmm/legacy/rtc_time.hpp"

namespace pcivm::vmm {

/// Shows the host's wall clock in UTC plus the offset that the guest set. Flags are computed when they are looked at;
/// a timer runs only while an interrupt is enabled. Any thread.
class Rtc final {
 public:
  /// `line` outlives the object.
  Rtc(InterruptLine& line, Clocks clocks);

  /// Call periodic_tick() and second_tick(); before the first access. Both outlive the object.
  void use(Timer& periodic, Timer& second) {
    periodic_ = &periodic;
    second_ = &second;
  }
  void periodic_tick();
  void second_tick();

  /// Odd ports are data, even ones the index.
  [[nodiscard]] std::uint8_t read(std::uint16_t port);
  void write(std::uint16_t port, std::uint8_t value);
  /// The index and the interrupt enables; time and memory have a battery.
  void reset();

 private:
  [[nodiscard]] UnixSeconds time() const;
  [[nodiscard]] RtcFormat format() const;
  [[nodiscard]] bool stopped() const;
  [[nodiscard]] std::uint8_t read_register(std::uint8_t index);
  [[nodiscard]] std::uint8_t read_time(std::uint8_t index) const;
  void write_register(std::uint8_t index, std::uint8_t value);
  void write_time(std::uint8_t index, std::uint8_t value);
  [[nodiscard]] std::optional<Nanoseconds> period() const;
  [[nodiscard]] bool alarm_matches(UnixSeconds second) const;
  void advance();
  void settle();
  void schedule();

  InterruptLine& line_;
  Clocks clocks_;
  Timer* periodic_{};
  Timer* second_{};
  std::mutex mutex_;
  std::array<std::uint8_t, 128> memory_{};  // alarm bytes, registers A, B and plain bytes; guarded by mutex_
  std::uint8_t index_{};                    // guarded by mutex_, as are the rest
  std::uint8_t flags_{};                    // register C without IRQF
  UnixSeconds offset_{};                    // guest minus host
  std::optional<CalendarTime> held_;        // while register B's SET stops the clock
  UnixSeconds seen_second_{};               // up to which update and alarm flags are set
  std::int64_t seen_period_{};              // up to which the periodic flag is set
};

}  // namespace pcivm::vmm
