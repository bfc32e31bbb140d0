// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/pit_counter.hpp"

#include <algorithm>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

}  // namespace

PitTicks to_pit_ticks(Nanoseconds time) {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
  return ns / kNsPerSecond * kPitHz + ns % kNsPerSecond * kPitHz / kNsPerSecond;
}

Nanoseconds from_pit_ticks(PitTicks ticks) {
  const auto rest = (ticks % kPitHz * kNsPerSecond + kPitHz - 1) / kPitHz;
  return Nanoseconds{static_cast<std::int64_t>(ticks / kPitHz * kNsPerSecond + rest)};
}

void PitCounter::configure(std::uint8_t control, PitTicks /*now*/) {
  const auto mode = static_cast<std::uint8_t>(control >> 1U & 7U);
  mode_ = mode > 5 ? mode - 4 : mode;  // X10 and X11 are modes 2 and 3
  access_ = Access{static_cast<std::uint8_t>(control >> 4U & 3U)};
  bcd_ = (control & 1U) != 0;
  loaded_ = false;
  running_ = false;
  counted_ = 0;
  write_high_next_ = false;
  read_high_next_ = false;
  latched_count_.reset();
  latched_status_.reset();
}

PitTicks PitCounter::elapsed(PitTicks now) const { return counted_ + (running_ ? now - started_ : 0); }

std::uint16_t PitCounter::count(PitTicks now) const {
  const auto past = elapsed(now);
  if (mode_ == 2) return static_cast<std::uint16_t>(reload_ - past % reload_);
  // Mode 3 counts down by two, twice for each period.
  if (mode_ == 3) return static_cast<std::uint16_t>(reload_ - past % reload_ * 2 % reload_);
  return static_cast<std::uint16_t>(reload_ - past);  // goes on below zero
}

bool PitCounter::output(PitTicks now) const {
  const auto past = elapsed(now);
  if (!loaded_) return mode_ != 0;
  switch (mode_) {
    case 0: return past >= reload_;
    case 1: return !running_ || past >= reload_;
    case 2: return !running_ || past % reload_ != reload_ - 1;
    case 3: return !running_ || past % reload_ < (reload_ + 1) / 2;
    default: return past != reload_;
  }
}

std::optional<PitCounter::Edges> PitCounter::rising_edges(PitTicks now) const {
  if (!running_) return std::nullopt;
  const auto past = elapsed(now);
  if (periodic()) return Edges{.first = reload_ - past % reload_, .period = reload_};
  const PitTicks rises_at = mode_ < 2 ? reload_ : reload_ + 1U;  // a strobe rises one tick after it fell
  if (past >= rises_at) return std::nullopt;
  return Edges{.first = rises_at - past, .period = 0};
}

void PitCounter::latch_count(PitTicks now) {
  if (!latched_count_) latched_count_ = count(now);  // a second latch before the read is ignored
}

void PitCounter::latch_status(PitTicks now) {
  if (latched_status_) return;
  latched_status_ =
      static_cast<std::uint8_t>((output(now) ? 0x80U : 0U) | (loaded_ ? 0U : 0x40U) |
                                static_cast<unsigned>(access_) << 4U | unsigned{mode_} << 1U | (bcd_ ? 1U : 0U));
}

void PitCounter::start(PitTicks now) {
  running_ = true;
  started_ = now;
}

void PitCounter::load(std::uint16_t value, PitTicks now) {
  reload_ = value == 0 ? 65536 : value;
  loaded_ = true;
  counted_ = 0;
  running_ = false;
  if (!triggered_by_gate() && gate_) start(now);
}

void PitCounter::write(std::uint8_t value, PitTicks now) {
  switch (access_) {
    case Access::low: return load(value, now);
    case Access::high: return load(static_cast<std::uint16_t>(value << 8U), now);
    case Access::both: break;
  }
  if (write_high_next_) {
    load(static_cast<std::uint16_t>(value << 8U | written_low_), now);
  } else {
    written_low_ = value;
    if (mode_ == 0) {  // 231164: the first byte of two disables counting in mode 0
      counted_ = elapsed(now);
      running_ = false;
    }
  }
  write_high_next_ = !write_high_next_;
}

std::uint8_t PitCounter::read(PitTicks now) {
  if (latched_status_) {
    const auto value = *latched_status_;
    latched_status_.reset();
    return value;
  }
  const auto value = latched_count_.value_or(count(now));
  const bool high = access_ == Access::high || (access_ == Access::both && read_high_next_);
  if (access_ == Access::both) read_high_next_ = !read_high_next_;
  if (access_ != Access::both || high) latched_count_.reset();
  return static_cast<std::uint8_t>(high ? value >> 8U : value);
}

void PitCounter::set_gate(bool gate, PitTicks now) {
  if (gate == gate_) return;
  gate_ = gate;
  if (triggered_by_gate()) {
    if (!gate || !loaded_) return;
    counted_ = 0;
    return start(now);
  }
  if (!gate) {
    counted_ = periodic() ? 0 : elapsed(now);  // modes 2 and 3 begin anew, 0 and 4 go on
    running_ = false;
  } else if (loaded_) {
    start(now);
  }
}

}  // namespace pcivm::vmm
