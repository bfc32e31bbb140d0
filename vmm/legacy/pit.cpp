// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/pit.hpp"

#include <algorithm>
#include <utility>

#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kControlPort = 3;
constexpr unsigned kReadBack = 3;
constexpr std::uint8_t kReadBackNoCount = 0x20;
constexpr std::uint8_t kReadBackNoStatus = 0x10;
constexpr std::uint8_t kAccessBits = 0x30;

constexpr std::uint8_t kGate2 = 0x01;
constexpr std::uint8_t kSystemBWritable = 0x0f;
constexpr std::uint8_t kRefresh = 0x10;
constexpr std::uint8_t kOutput2 = 0x20;
constexpr PitTicks kRefreshTicks = 18;  // DRAM refresh requests of a PC/AT: every 15.09 us

// A count of 1 asks for a million interrupts a second, which would starve the loop: nobody sees more than this many.
constexpr Nanoseconds kShortestPeriod{100'000};

}  // namespace

Pit::Pit(Wiring wiring) : wiring_{std::move(wiring)} { counters_[2].set_gate(false, now()); }

PitTicks Pit::now() const { return to_pit_ticks(wiring_.now()); }

void Pit::tick() {
  const std::scoped_lock lock{mutex_};
  if (!armed_) return;
  wiring_.irq0.set(false);
  wiring_.irq0.set(true);
  const auto next = counters_[0].rising_edges(now());
  armed_ = next && next->period != 0;  // else the timer was armed for this one only
}

void Pit::mask_changed() {
  const std::scoped_lock lock{mutex_};
  const bool wanted = wiring_.irq_wanted();
  const auto time = now();
  if (armed_ != wanted) schedule(time);
  // The edge came while nobody would have seen it; its request waits in the controller until it is let through.
  if (wanted && counters_[0].reached_end(time)) wiring_.irq0.set(true);
}

// Called with mutex_ held after each change of counter 0, with the time of that change: a short count may be over by
// now.
void Pit::schedule(PitTicks time) {
  if (timer_ == nullptr) return;
  const auto edges = counters_[0].rising_edges(time);
  const bool was_armed = std::exchange(armed_, edges && wiring_.irq_wanted());
  if (armed_) {
    const auto period = edges->period == 0 ? Nanoseconds{0} : std::max(from_pit_ticks(edges->period), kShortestPeriod);
    timer_->arm(from_pit_ticks(edges->first), period);
  } else if (was_armed) {
    timer_->disarm();
  }
}

std::uint8_t Pit::read(std::uint16_t port) {
  const std::scoped_lock lock{mutex_};
  if (port == platform::port::kSystemB) return read_system_b(now());
  const unsigned index = port & 3U;
  return index == kControlPort ? 0xff : counters_.at(index).read(now());
}

std::uint8_t Pit::read_system_b(PitTicks now) const {
  return static_cast<std::uint8_t>(system_b_ | (now / kRefreshTicks % 2 != 0 ? kRefresh : 0) |
                                   (counters_[2].output(now) ? kOutput2 : 0));
}

void Pit::write(std::uint16_t port, std::uint8_t value) {
  const std::scoped_lock lock{mutex_};
  if (port == platform::port::kSystemB) {
    system_b_ = value & kSystemBWritable;
    return counters_[2].set_gate((value & kGate2) != 0, now());
  }
  const unsigned index = port & 3U;
  if (index == kControlPort) return write_control(value, now());
  const auto time = now();
  counters_.at(index).write(value, time);
  if (index == 0) schedule(time);
}

void Pit::write_control(std::uint8_t value, PitTicks now) {
  const unsigned select = value >> 6U;
  if (select == kReadBack) {
    for (unsigned index = 0; index < counters_.size(); ++index) {
      if ((unsigned{value} >> (index + 1) & 1U) == 0) continue;
      if ((value & kReadBackNoCount) == 0) counters_.at(index).latch_count(now);
      if ((value & kReadBackNoStatus) == 0) counters_.at(index).latch_status(now);
    }
    return;
  }
  if ((value & kAccessBits) == 0) return counters_.at(select).latch_count(now);
  counters_.at(select).configure(value, now);
  if (select != 0) return;
  wiring_.irq0.set(false);
  schedule(now);
}

void Pit::reset() {
  const std::scoped_lock lock{mutex_};
  counters_ = {};
  counters_[2].set_gate(false, now());
  system_b_ = 0;
  wiring_.irq0.set(false);
  schedule(now());
}

}  // namespace pcivm::vmm
