// SPDX-License-Identifier: GPL-2.0-or-later
// One counter of an 8254 as a function of time.
#pragma once

#include <cstdint>
#include <optional>

#include "vmm/legacy/clock.hpp"

namespace pcivm::vmm {

/// Periods of the 1.193182 MHz clock since some start.
using PitTicks = std::uint64_t;
inline constexpr std::uint64_t kPitHz = 1193182;
[[nodiscard]] PitTicks to_pit_ticks(Nanoseconds time);
/// Rounded up, so that a timer does not fire before the tick.
[[nodiscard]] Nanoseconds from_pit_ticks(PitTicks ticks);

/// The owner locks. `now` never goes back.
/// Differences from the chip: a count written in modes 2 and 3 acts at once and not at the end of the running period;
/// BCD counts as binary (nothing programs it, and its only effect is another count).
class PitCounter final {
 public:
  /// The control word of this counter (not latch, not read-back).
  void configure(std::uint8_t control, PitTicks now);
  void latch_count(PitTicks now);
  void latch_status(PitTicks now);
  void write(std::uint8_t value, PitTicks now);
  [[nodiscard]] std::uint8_t read(PitTicks now);
  void set_gate(bool gate, PitTicks now);
  [[nodiscard]] bool output(PitTicks now) const;
  /// Mode 0, and counted to its end: the output stays high from there on.
  [[nodiscard]] bool reached_end(PitTicks now) const { return mode_ == 0 && output(now); }

  struct Edges {
    PitTicks first{};   ///< from now to the next rising edge of the output
    PitTicks period{};  ///< 0 = no further one
  };
  /// Nothing while it does not count, or will not rise again.
  [[nodiscard]] std::optional<Edges> rising_edges(PitTicks now) const;

 private:
  enum class Access : std::uint8_t { low = 1, high = 2, both = 3 };
  [[nodiscard]] PitTicks elapsed(PitTicks now) const;
  [[nodiscard]] std::uint16_t count(PitTicks now) const;
  [[nodiscard]] bool periodic() const { return mode_ == 2 || mode_ == 3; }
  [[nodiscard]] bool triggered_by_gate() const { return mode_ == 1 || mode_ == 5; }
  void load(std::uint16_t value, PitTicks now);
  void start(PitTicks now);

  std::uint8_t mode_{};
  bool bcd_{};
  Access access_{Access::both};
  bool gate_{true};
  bool loaded_{};                ///< a count was written since configure()
  bool running_{};               ///< counting now
  std::uint32_t reload_{65536};  ///< 1..65536
  PitTicks counted_{};           ///< ticks counted before started_
  PitTicks started_{};
  bool write_high_next_{};
  bool read_high_next_{};
  std::uint8_t written_low_{};
  std::optional<std::uint16_t> latched_count_;
  std::optional<std::uint8_t> latched_status_;
};

}  // namespace pcivm::vmm
