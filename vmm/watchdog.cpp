// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/watchdog.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <utility>

#include "base/pci_config.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kVendor = 0x8086;
constexpr std::uint16_t kDevice = 0x25ab;
constexpr std::uint32_t kClass = 0x088000;
constexpr unsigned kBar = 0;
constexpr std::uint64_t kBarSize = 0x10;

// Configuration space (16.5).
constexpr std::uint16_t kConfiguration = 0x60;
constexpr std::uint16_t kFast = 0x04;      // timers count microseconds, about, instead of milliseconds
constexpr std::uint16_t kNoReboot = 0x20;  // the second timer only sets its flag
constexpr std::uint16_t kLock = 0x68;
constexpr std::uint8_t kLocked = 0x01;  // this register does not change any more
constexpr std::uint8_t kEnabled = 0x02;

// The BAR (16.6).
constexpr std::uint64_t kTimer1 = 0x0;
constexpr std::uint64_t kTimer2 = 0x4;
constexpr std::uint64_t kReload = 0xc;
constexpr std::uint32_t kMostPreload = 0xfffff;
constexpr std::uint32_t kReloadNow = 0x100;
constexpr std::uint32_t kExpired = 0x200;
// A register is written once after these two went to kReload.
constexpr std::array<std::uint32_t, 2> kUnlock{0x80, 0x86};
constexpr std::uint64_t kTicksPerMicrosecond = 33;

}  // namespace

BarRequest Watchdog::bar_request() {
  return {.index = kBar, .size = kBarSize, .io = false, .is_64bit = false, .prefetchable = false};
}

Watchdog::Watchdog(Wiring wiring, Fd timer)
    : wiring_{std::move(wiring)},
      timer_{std::move(timer)},
      bar_{bar_request(),
           {.memory = wiring_.memory, .may_decode = wiring_.may_decode, .handler = *this, .report = wiring_.report}} {
  config_store(config_, PCI_VENDOR_ID, 2, kVendor);
  config_store(config_, PCI_DEVICE_ID, 2, kDevice);
  config_store(config_, PCI_CLASS_REVISION, 4, kClass << 8U);
}

Result<std::unique_ptr<Watchdog>> Watchdog::create(Wiring wiring) {
  auto timer = TRY(make_timerfd());
  std::unique_ptr<Watchdog> device{new Watchdog{std::move(wiring), std::move(timer)}};
  device->watch_ =
      TRY(device->wiring_.loop.watch(device->timer_.ref(), Interest::read, [raw = device.get()] { raw->on_timer(); }));
  return device;
}

Watchdog::~Watchdog() { reset(); }

void Watchdog::place_bar(unsigned index, std::uint64_t address) {
  const std::scoped_lock lock{mutex_};
  bar_.place(index, address);
}

bool Watchdog::enabled() const { return (config_u8(config_, kLock) & kEnabled) != 0; }

std::byte Watchdog::config_byte(std::uint16_t offset) const {
  if (offset >= PCI_COMMAND && offset < PCI_COMMAND + 2) return byte_of(command_, offset, PCI_COMMAND);
  if (TrappedBar::covers(offset)) return bar_.read(offset);
  return config_[offset];
}

void Watchdog::config_read(std::uint16_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  std::ranges::fill(data, std::byte{0});
  if (offset + data.size() > config_.size()) return;
  for (std::size_t index = 0; index < data.size(); ++index) {
    data[index] = config_byte(static_cast<std::uint16_t>(offset + index));
  }
}

// `data` stays inside a dword.
void Watchdog::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  const std::scoped_lock lock{mutex_};
  if (offset + data.size() > config_.size()) return;
  const auto write = DwordWrite::of(offset, data);
  if (write.dword == PCI_COMMAND) {
    command_ = static_cast<std::uint16_t>(write.merged(command_) & PCI_COMMAND_MEMORY);
    decode();
  } else if (TrappedBar::covers(write.dword)) {
    bar_.write(write);
    decode();
  } else if (write.dword == kConfiguration) {
    config_store(config_, kConfiguration, 2, write.merged(config_u16(config_, kConfiguration)) & 0x27);
  } else if (write.dword == kLock) {
    write_lock_register(static_cast<std::uint8_t>(write.merged(config_u8(config_, kLock)) & 0x07));
  }
}

void Watchdog::decode_again() {
  const std::scoped_lock lock{mutex_};
  decode();
}

void Watchdog::write_lock_register(std::uint8_t value) {
  const auto old = config_u8(config_, kLock);
  if ((old & kLocked) != 0) return;
  config_store(config_, kLock, 1, value);
  const bool was = (old & kEnabled) != 0;
  if (was && !enabled()) disarm();
  if (was || !enabled()) return;
  stage_ = 0;
  arm();
}

void Watchdog::decode() { bar_.decode((command_ & PCI_COMMAND_MEMORY) != 0, name()); }

void Watchdog::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  std::uint32_t value = 0;
  if (offset == kTimer1) value = preload_[0];
  if (offset == kTimer2) value = preload_[1];
  if (offset == kReload && expired_) value = kExpired;
  store_le(data, value);
}

void Watchdog::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::scoped_lock lock{mutex_};
  const auto value = static_cast<std::uint32_t>(load_le(data));
  if (unlocked_ == kUnlock.size()) {
    unlocked_ = 0;
    write_register(offset, value);
  } else if (offset == kReload && value == kUnlock.at(unlocked_)) {
    ++unlocked_;
  } else {
    unlocked_ = offset == kReload && value == kUnlock[0] ? 1 : 0;
  }
}

void Watchdog::write_register(std::uint64_t offset, std::uint32_t value) {
  if (offset == kTimer1) preload_[0] = value & kMostPreload;
  if (offset == kTimer2) preload_[1] = value & kMostPreload;
  if (offset != kReload) return;
  if ((value & kExpired) != 0) expired_ = false;
  if ((value & kReloadNow) == 0 || !enabled()) return;
  stage_ = 0;
  arm();
}

std::chrono::nanoseconds Watchdog::period(unsigned stage) const {
  const unsigned shift = (config_u16(config_, kConfiguration) & kFast) != 0 ? 5 : 15;
  const auto ticks = std::uint64_t{std::max(preload_.at(stage), 1U)} << shift;
  return std::chrono::nanoseconds{ticks * 1000 / kTicksPerMicrosecond};
}

void Watchdog::arm() {
  if (auto armed = arm_timerfd(timer_.ref(), period(stage_), {}); !armed) wiring_.report(armed.error());
}

void Watchdog::disarm() { (void)arm_timerfd(timer_.ref(), {}, {}); }

void Watchdog::on_timer() {
  {
    const std::scoped_lock lock{mutex_};
    // Reloaded meanwhile: there is nothing to read.
    if (drain_eventfd(timer_.ref()) == 0 || !enabled()) return;
    if (stage_ == 0) {
      stage_ = 1;
      arm();
      return;
    }
    expired_ = true;
    if ((config_u16(config_, kConfiguration) & kNoReboot) != 0) return;
  }
  wiring_.expired();
}

void Watchdog::reset() {
  const std::scoped_lock lock{mutex_};
  disarm();
  command_ = 0;
  decode();
  bar_.reset();
  config_store(config_, kConfiguration, 2, 0);
  config_store(config_, kLock, 1, 0);
  preload_ = {kMostPreload, kMostPreload};
  unlocked_ = stage_ = 0;
}

}  // namespace pcivm::vmm
