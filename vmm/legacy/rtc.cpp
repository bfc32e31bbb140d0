// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/rtc.hpp"

#include <algorithm>
#include <utility>

namespace pcivm::vmm {

namespace {

enum Index : std::uint8_t {
  seconds = 0,
  seconds_alarm = 1,
  minutes = 2,
  minutes_alarm = 3,
  hours = 4,
  hours_alarm = 5,
  day_of_week = 6,
  day_of_month = 7,
  month = 8,
  year = 9,
  register_a = 10,
  register_b = 11,
  register_c = 12,
  register_d = 13,
  century = 0x32,
};

constexpr std::uint8_t kUpdateInProgress = 0x80;  // A
constexpr std::uint8_t kDividerReset = 0x60;      // A: 11x holds the divider in reset
constexpr std::uint8_t kDivider = 0x70;           // A
constexpr std::uint8_t kDivider32kHz = 0x20;      // A
constexpr std::uint8_t kRate = 0x0f;              // A
constexpr std::uint8_t kSet = 0x80;               // B
constexpr std::uint8_t kPeriodic = 0x40;          // B, C
constexpr std::uint8_t kAlarm = 0x20;             // B, C
constexpr std::uint8_t kUpdate = 0x10;            // B, C
constexpr std::uint8_t kBinary = 0x04;            // B
constexpr std::uint8_t k24Hours = 0x02;           // B
constexpr std::uint8_t kInterrupt = 0x80;         // C
constexpr std::uint8_t kValid = 0x80;             // D: the battery is good
constexpr std::uint8_t kEnables = kPeriodic | kAlarm | kUpdate;
constexpr std::uint8_t kAnyAlarm = 0xc0;  // both top bits set: matches every value

constexpr Nanoseconds kSecond = std::chrono::seconds{1};
constexpr Nanoseconds kUpdateWarning = std::chrono::microseconds{244};  // MC146818A, "Update Cycle"
constexpr UnixSeconds kDay = std::chrono::days{1};

bool is_time(std::uint8_t index) {
  return index == century ||
         (index <= year && index != seconds_alarm && index != minutes_alarm && index != hours_alarm);
}

}  // namespace

Rtc::Rtc(InterruptLine& line, Clocks clocks) : line_{line}, clocks_{std::move(clocks)} {
  memory_[register_a] = kDivider32kHz | 0x06;  // 1024 Hz, as PC firmware leaves it
  memory_[register_b] = k24Hours;
  seen_second_ = time();
}

UnixSeconds Rtc::time() const { return std::chrono::floor<UnixSeconds>(clocks_.wall()) + offset_; }

RtcFormat Rtc::format() const {
  return {.binary = (memory_[register_b] & kBinary) != 0, .hours24 = (memory_[register_b] & k24Hours) != 0};
}

bool Rtc::stopped() const {
  return (memory_[register_b] & kSet) != 0 || (memory_[register_a] & kDividerReset) == kDividerReset;
}

std::optional<Nanoseconds> Rtc::period() const {
  const unsigned rate = memory_[register_a] & kRate;
  if (rate == 0 || (memory_[register_a] & kDivider) != kDivider32kHz) return std::nullopt;
  const unsigned shift = rate < 3 ? rate + 6 : rate - 1;  // rates 1 and 2 repeat 8 and 9
  return (kSecond * (1U << shift)) / 32768;
}

bool Rtc::alarm_matches(UnixSeconds second) const {
  const auto calendar = to_calendar(second);
  const auto matches = [](std::uint8_t alarm, std::uint8_t now) {
    return (alarm & kAnyAlarm) == kAnyAlarm || alarm == now;
  };
  return matches(memory_[seconds_alarm], encode(calendar.second, format())) &&
         matches(memory_[minutes_alarm], encode(calendar.minute, format())) &&
         matches(memory_[hours_alarm], encode_hour(calendar.hour, format()));
}

// Sets the flags of all events since the last call. Every access begins with it, so what it compares with has been
// valid for the whole time.
void Rtc::advance() {
  if (const auto length = period()) {
    const auto current = clocks_.monotonic() / *length;
    if (std::exchange(seen_period_, current) != current) flags_ |= kPeriodic;
  }
  if (held_) return;
  const auto now = time();
  const auto past = std::exchange(seen_second_, now);
  if (now <= past) return;
  flags_ |= kUpdate;
  for (auto second = std::max(past, now - kDay) + UnixSeconds{1}; second <= now;
       ++second) {  // a day holds each time once
    if (!alarm_matches(second)) continue;
    flags_ |= kAlarm;
    break;
  }
}

void Rtc::settle() { line_.set((flags_ & memory_[register_b] & kEnables) != 0); }

// Called with mutex_ held after registers A or B changed.
void Rtc::schedule() {
  const auto enables = memory_[register_b];
  if (periodic_ != nullptr) {
    const auto length = period();
    if (length && (enables & kPeriodic) != 0) {
      periodic_->arm(*length - clocks_.monotonic() % *length, *length);
    } else {
      periodic_->disarm();
    }
  }
  if (second_ == nullptr) return;
  if ((enables & (kAlarm | kUpdate)) != 0 && !held_) {
    second_->arm(kSecond - clocks_.wall() % kSecond, kSecond);
  } else {
    second_->disarm();
  }
}

void Rtc::periodic_tick() {
  const std::scoped_lock lock{mutex_};
  advance();
  settle();
}

// The wall clock may have been slewed since the timer was armed: aim at the next second anew.
void Rtc::second_tick() {
  const std::scoped_lock lock{mutex_};
  advance();
  settle();
  schedule();
}

std::uint8_t Rtc::read(std::uint16_t port) {
  if ((port & 1U) == 0) return 0xff;  // the index is write-only
  const std::scoped_lock lock{mutex_};
  advance();
  const auto value = read_register(index_);
  settle();
  return value;
}

std::uint8_t Rtc::read_register(std::uint8_t index) {
  switch (index) {
    case register_a: {
      const bool soon = clocks_.wall() % kSecond >= kSecond - kUpdateWarning;
      return static_cast<std::uint8_t>(memory_[register_a] | (soon && !held_ ? kUpdateInProgress : 0));
    }
    case register_c: {
      const auto flags = std::exchange(flags_, std::uint8_t{0});
      return static_cast<std::uint8_t>(flags | ((flags & memory_[register_b] & kEnables) != 0 ? kInterrupt : 0));
    }
    case register_d: return kValid;
    default: return is_time(index) ? read_time(index) : memory_.at(index);
  }
}

std::uint8_t Rtc::read_time(std::uint8_t index) const {
  const auto calendar = held_.value_or(to_calendar(time()));
  switch (index) {
    case seconds: return encode(calendar.second, format());
    case minutes: return encode(calendar.minute, format());
    case hours: return encode_hour(calendar.hour, format());
    case day_of_week: return static_cast<std::uint8_t>(weekday(from_calendar(calendar)));
    case day_of_month: return encode(calendar.day, format());
    case month: return encode(calendar.month, format());
    case year: return encode(calendar.year % 100, format());
    default: return encode(calendar.year / 100, format());
  }
}

void Rtc::write(std::uint16_t port, std::uint8_t value) {
  const std::scoped_lock lock{mutex_};
  if ((port & 1U) == 0) {
    index_ = value & 0x7fU;  // bit 7 masks the NMI, of which there is none
    return;
  }
  advance();
  write_register(index_, value);
  settle();
}

void Rtc::write_register(std::uint8_t index, std::uint8_t value) {
  if (is_time(index)) return write_time(index, value);
  switch (index) {
    case register_c:
    case register_d: return;
    case register_a: memory_[register_a] = value & static_cast<std::uint8_t>(~kUpdateInProgress); break;
    // Stopping the clock ends update interrupts (MC146818A, "Register B").
    case register_b:
      memory_[register_b] = (value & kSet) != 0 ? value & static_cast<std::uint8_t>(~kUpdate) : value;
      break;
    default: memory_.at(index) = value; return;
  }
  if (stopped() && !held_) {
    held_ = to_calendar(time());
  } else if (!stopped() && held_) {
    offset_ += from_calendar(*held_) - time();
    held_.reset();
    seen_second_ = time();
  }
  schedule();
}

void Rtc::write_time(std::uint8_t index, std::uint8_t value) {
  auto calendar = held_.value_or(to_calendar(time()));
  switch (index) {
    case seconds: calendar.second = decode(value, format()); break;
    case minutes: calendar.minute = decode(value, format()); break;
    case hours: calendar.hour = decode_hour(value, format()); break;
    case day_of_month: calendar.day = decode(value, format()); break;
    case month: calendar.month = decode(value, format()); break;
    case year: calendar.year = calendar.year / 100 * 100 + decode(value, format()) % 100; break;
    case century: calendar.year = decode(value, format()) * 100 + calendar.year % 100; break;
    default: return;  // the day of the week follows from the date
  }
  if (held_) {
    held_ = calendar;
    return;
  }
  offset_ += from_calendar(calendar) - time();
  seen_second_ = time();
}

void Rtc::reset() {
  const std::scoped_lock lock{mutex_};
  advance();
  index_ = 0;
  flags_ = 0;
  memory_[register_b] &= static_cast<std::uint8_t>(~kEnables);
  settle();
  schedule();
}

}  // namespace pcivm::vmm
