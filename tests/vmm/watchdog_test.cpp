// SPDX-License-Identifier: GPL-2.0-or-later
// The watchdog as Linux's driver (drivers/watchdog/i6300esb.c) and a hostile guest use it.
#include "vmm/watchdog.hpp"

#include <gmock/gmock.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include <random>
#include <string>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

constexpr std::uint64_t kBar = 0xc0001000;
constexpr unsigned kConfiguration = 0x60;
constexpr unsigned kLock = 0x68;
constexpr std::uint64_t kTimer1 = 0;
constexpr std::uint64_t kTimer2 = 4;
constexpr std::uint64_t kReload = 12;

class WatchdogTimer : public testing::Test {
 protected:
  WatchdogTimer() {
    device_->place_bar(0, kBar);
    set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  }
  std::uint32_t config(unsigned offset, unsigned width) {
    std::array<std::byte, 4> bytes{};
    device_->config_read(static_cast<std::uint16_t>(offset), std::span{bytes}.first(width));
    return static_cast<std::uint32_t>(load_le(std::span{bytes}.first(width)));
  }
  void set_config(unsigned offset, unsigned width, std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    store_le(bytes, value);
    device_->config_write(static_cast<std::uint16_t>(offset), std::span{bytes}.first(width));
  }
  std::uint32_t load(std::uint64_t offset) {
    std::array<std::byte, 4> bytes{};
    memory_.read(kBar + offset, bytes);
    return static_cast<std::uint32_t>(load_le(bytes));
  }
  void store(std::uint64_t offset, unsigned width, std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    store_le(bytes, value);
    memory_.write(kBar + offset, std::span{bytes}.first(width));
  }
  void unlocked_store(std::uint64_t offset, unsigned width, std::uint32_t value) {
    store(kReload, 2, 0x80);
    store(kReload, 2, 0x86);
    store(offset, width, value);
  }
  /// As the driver starts it, with timers of about so many milliseconds.
  void start(std::uint32_t milliseconds) {
    set_config(kConfiguration, 2, 3);
    set_config(kLock, 1, 0);
    unlocked_store(kTimer1, 4, milliseconds);
    unlocked_store(kTimer2, 4, milliseconds);
    unlocked_store(kReload, 2, 0x100);
    set_config(kLock, 1, 2);
  }
  /// Turns the loop for a while.
  void pass(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end && expired_ == 0) {
      loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
      ASSERT_THAT(loop_->run(), test::IsOk());
      ::usleep(1000);
    }
  }
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  IoBus memory_;
  unsigned expired_{};
  std::vector<std::string> reports_;
  std::unique_ptr<Watchdog> device_ =
      Watchdog::create(
          {.loop = *loop_,
           .memory = memory_,
           .may_decode = [](std::uint64_t address, std::uint64_t /*length*/) { return address >= 0xc0000000; },
           .expired = [this] { ++expired_; },
           .report = [this](const Error& error) { reports_.push_back(error.text()); }})
          .value();
};

TEST_F(WatchdogTimer, IsWhatTheDriverLooksFor) {
  EXPECT_EQ(config(PCI_VENDOR_ID, 4), 0x25ab8086U);
  EXPECT_EQ(config(PCI_BASE_ADDRESS_0, 4), kBar);
  set_config(PCI_BASE_ADDRESS_0, 4, 0xffffffff);
  EXPECT_EQ(config(PCI_BASE_ADDRESS_0, 4), 0xfffffff0U) << "16 bytes";
}

TEST_F(WatchdogTimer, RunsOutAfterBothTimersAndSaysSoAfterwards) {
  start(20);
  EXPECT_EQ(load(kReload), 0U);
  const auto from = std::chrono::steady_clock::now();
  pass(std::chrono::seconds{5});
  EXPECT_EQ(expired_, 1U);
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds{39});
  device_->reset();
  set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_EQ(load(kReload), 0x200U) << "the next boot is told";
  unlocked_store(kReload, 2, 0x300);
  EXPECT_EQ(load(kReload), 0U);
  EXPECT_EQ(config(kLock, 1), 0U) << "off after a reset";
}

TEST_F(WatchdogTimer, IsKeptFromRunningOut) {
  start(100);
  for (int count = 0; count < 40; ++count) {
    pass(std::chrono::milliseconds{10});
    unlocked_store(kReload, 2, 0x100);
  }
  EXPECT_EQ(expired_, 0U);
  set_config(kLock, 1, 0);
  pass(std::chrono::milliseconds{300});
  EXPECT_EQ(expired_, 0U) << "stopped";
}

TEST_F(WatchdogTimer, CannotBeStoppedOnceLocked) {
  start(10);
  set_config(kLock, 1, 3);
  set_config(kLock, 1, 0);
  EXPECT_EQ(config(kLock, 1), 3U);
  pass(std::chrono::seconds{5});
  EXPECT_EQ(expired_, 1U);
}

TEST_F(WatchdogTimer, NeedsTheSequenceForEachWrite) {
  store(kTimer1, 4, 5);
  EXPECT_EQ(load(kTimer1), 0xfffffU);
  store(kReload, 2, 0x80);
  store(kTimer1, 4, 5);
  store(kReload, 2, 0x86);
  store(kTimer1, 4, 5);
  EXPECT_EQ(load(kTimer1), 0xfffffU);
  unlocked_store(kTimer1, 4, 0xfff00005);
  EXPECT_EQ(load(kTimer1), 5U) << "20 bits";
  store(kTimer1, 4, 6);
  EXPECT_EQ(load(kTimer1), 5U);
}

TEST_F(WatchdogTimer, OnlySetsItsFlagWhenRebootIsOff) {
  start(5);
  set_config(kConfiguration, 2, 0x23);
  pass(std::chrono::milliseconds{200});
  EXPECT_EQ(expired_, 0U);
  EXPECT_EQ(load(kReload), 0x200U);
}

TEST_F(WatchdogTimer, TakesAnyAccess) {
  std::mt19937 random{5};
  for (unsigned count = 0; count < 20'000; ++count) {
    const unsigned width = 1U << random() % 3;
    const auto offset = static_cast<unsigned>(random() % 0x110) / width * width;
    if (random() % 2 == 0) {
      set_config(offset, width, static_cast<std::uint32_t>(random()));
      (void)config(offset, width);
    } else {
      store(offset % 0x10, width, static_cast<std::uint32_t>(random()));
      (void)load(offset % 0x10);
    }
  }
  device_->reset();
  EXPECT_EQ(config(PCI_BASE_ADDRESS_0, 4), kBar);
  EXPECT_EQ(config(PCI_VENDOR_ID, 4), 0x25ab8086U);
}

}  // namespace
}  // namespace pcivm::vmm
