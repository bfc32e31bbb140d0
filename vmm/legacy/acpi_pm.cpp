// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/acpi_pm.hpp"

#include <algorithm>
#include <utility>

namespace pcivm::vmm {

namespace {

// PM1 status and enable (ACPI 6.5, 4.8.3.1).
constexpr std::uint16_t kTimer = 1U << 0U;
constexpr std::uint16_t kGlobal = 1U << 5U;
constexpr std::uint16_t kPowerButton = 1U << 8U;
constexpr std::uint16_t kSleepButton = 1U << 9U;
constexpr std::uint16_t kRtc = 1U << 10U;
constexpr std::uint16_t kWake = 1U << 15U;
constexpr std::uint16_t kEnableWritable = kTimer | kGlobal | kPowerButton | kSleepButton | kRtc;

// PM1 control (4.8.3.2).
constexpr std::uint16_t kSciEnable = 1U << 0U;
constexpr std::uint16_t kControlWritable = 0x1c02;  // SLP_TYP and BM_RLD; SLP_EN and GBL_RLS read 0
constexpr std::uint8_t kSleepEnableHigh = 0x20;     // SLP_EN in the upper byte
constexpr unsigned kSleepTypeHighShift = 2;

constexpr std::uint64_t kTimerHz = 3'579'545;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr unsigned kTopBit = 31;  // TMR_VAL_EXT

// Byte `index` of a 16-bit register.
std::uint16_t placed(std::uint8_t value, std::uint64_t index) {
  return static_cast<std::uint16_t>(value << (8 * (index & 1U)));
}
std::uint8_t taken(std::uint64_t value, std::uint64_t index) { return static_cast<std::uint8_t>(value >> (8 * index)); }

Nanoseconds duration(std::uint64_t ticks) {
  return Nanoseconds{
      static_cast<std::int64_t>(ticks / kTimerHz * kNsPerSecond + ticks % kTimerHz * kNsPerSecond / kTimerHz + 1)};
}

}  // namespace

std::uint64_t AcpiPm::timer_count() const {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(wiring_.now().count(), 0));
  return ns / kNsPerSecond * kTimerHz + ns % kNsPerSecond * kTimerHz / kNsPerSecond;
}

// TMR_STS is set at each change of the timer's top bit. Every access begins with this.
void AcpiPm::advance() {
  const auto halves = timer_count() >> kTopBit;
  if (std::exchange(timer_halves_, halves) != halves) status_ |= kTimer;
}

void AcpiPm::settle() {
  wiring_.sci.set((status_ & enable_) != 0);
  if (timer_ == nullptr) return;
  const bool wanted = (enable_ & kTimer) != 0 && (status_ & kTimer) == 0;
  if (wanted == timer_armed_) return;
  timer_armed_ = wanted;
  if (wanted) {
    timer_->arm(duration(((timer_halves_ + 1) << kTopBit) - timer_count()), Nanoseconds{0});
  } else {
    timer_->disarm();
  }
}

void AcpiPm::timer_tick() {
  const std::scoped_lock lock{mutex_};
  timer_armed_ = false;
  advance();
  settle();
}

void AcpiPm::press(std::uint16_t status) {
  const std::scoped_lock lock{mutex_};
  status_ |= status;
  settle();
}

void AcpiPm::press_power_button() { press(kPowerButton); }

void AcpiPm::press_sleep_button() { press(kSleepButton); }

void AcpiPm::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  advance();
  const auto timer = static_cast<std::uint32_t>(timer_count());  // once: the bytes belong together
  for (auto& byte : data) byte = std::byte{read_byte(offset++, timer)};
  settle();
}

std::uint8_t AcpiPm::read_byte(std::uint64_t offset, std::uint32_t timer) const {
  if (offset < kEventOffset + 2) return taken(status_, offset - kEventOffset);
  if (offset < kEventOffset + 4) return taken(enable_, offset - kEventOffset - 2);
  if (offset < kControlOffset + 2) return taken(control_ | kSciEnable, offset - kControlOffset);
  if (offset >= kTimerOffset && offset < kTimerOffset + 4) return taken(timer, offset - kTimerOffset);
  return offset == kResetOffset ? 0 : 0xff;
}

void AcpiPm::write(std::uint64_t offset, std::span<const std::byte> data) {
  auto request = Request::none;
  {
    const std::scoped_lock lock{mutex_};
    advance();
    for (const auto byte : data) request = std::max(request, write_byte(offset++, std::to_integer<std::uint8_t>(byte)));
    settle();
  }
  if (request == Request::power_off && wiring_.power_off) wiring_.power_off();
  if (request == Request::reset && wiring_.reset) wiring_.reset();
}

AcpiPm::Request AcpiPm::write_byte(std::uint64_t offset, std::uint8_t value) {
  const auto replace = [&](std::uint16_t old, std::uint16_t writable) {
    const auto mask = static_cast<std::uint16_t>(placed(0xff, offset) & writable);
    return static_cast<std::uint16_t>((old & ~mask) | (placed(value, offset) & mask));
  };
  if (offset < kEventOffset + 2) {
    status_ &= static_cast<std::uint16_t>(~placed(value, offset));
  } else if (offset < kEventOffset + 4) {
    enable_ = replace(enable_, kEnableWritable);
  } else if (offset < kControlOffset + 2) {
    control_ = replace(control_, kControlWritable);
    if (offset == kControlOffset || (value & kSleepEnableHigh) == 0) return Request::none;
    const auto type = value >> kSleepTypeHighShift & 7U;
    if (type == kS5 || (type == 0 && wiring_.type_0_is_s5)) return Request::power_off;
    status_ |= kWake;  // no other sleep state exists: awake again at once
  } else if (offset == kResetOffset && value == kResetValue) {
    return Request::reset;
  }
  return Request::none;
}

void AcpiPm::reset() {
  const std::scoped_lock lock{mutex_};
  advance();
  status_ = 0;
  enable_ = 0;
  control_ = 0;
  settle();
}

}  // namespace pcivm::vmm
