// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/acpi_pm.hpp"

#include <gtest/gtest.h>

#include <array>

#include "tests/vmm/legacy_fakes.hpp"

namespace pcivm::vmm {
namespace {

using std::chrono::seconds;

class FixedHardware : public testing::Test {
 protected:
  FixedHardware() { pm.use(timer); }
  std::uint64_t get(std::uint64_t offset, std::size_t size) {
    std::array<std::byte, 8> data{};
    pm.read(offset, std::span{data}.first(size));
    return load_le(std::span{data}.first(size));
  }
  void put(std::uint64_t offset, std::size_t size, std::uint64_t value) {
    std::array<std::byte, 8> data{};
    store_le(data, value);
    pm.write(offset, std::span{data}.first(size));
  }
  test::FakeTime time;
  test::FakeLine sci;
  test::FakeTimer timer;
  int resets{};
  int offs{};
  AcpiPm pm{{.sci = sci,
             .now = [this] { return time.monotonic; },
             .power_off = [this] { ++offs; },
             .reset = [this] { ++resets; }}};
};

TEST_F(FixedHardware, PowerButtonInterruptsUntilItsStatusIsCleared) {
  put(2, 2, 0x0100);
  pm.press_power_button();
  EXPECT_TRUE(sci.asserted);
  EXPECT_EQ(get(0, 2), 0x0100U);
  put(0, 2, 0x0001);
  EXPECT_TRUE(sci.asserted) << "another bit";
  put(0, 2, 0x0100);
  EXPECT_FALSE(sci.asserted);
  EXPECT_EQ(get(0, 2), 0U);
}

TEST_F(FixedHardware, ButtonPressedBeforeItIsEnabledInterruptsThen) {
  pm.press_power_button();
  EXPECT_FALSE(sci.asserted);
  put(2, 2, 0x0100);
  EXPECT_TRUE(sci.asserted);
}

TEST_F(FixedHardware, SleepButtonHasItsOwnBit) {
  pm.press_sleep_button();
  EXPECT_EQ(get(0, 2), 0x0200U);
}

TEST_F(FixedHardware, EnableKeepsItsBitsByByteAccessToo) {
  put(2, 4, 0xffff);
  EXPECT_EQ(get(2, 2), 0x0721U);
  put(3, 1, 0x00);
  EXPECT_EQ(get(2, 2), 0x0021U);
}

TEST_F(FixedHardware, IsAlwaysInAcpiMode) {
  EXPECT_EQ(get(4, 2) & 1U, 1U);
  put(4, 2, 0x0000);
  EXPECT_EQ(get(4, 2) & 1U, 1U);
}

// As acpi_hw_legacy_sleep: the type first, then type and enable.
TEST_F(FixedHardware, SleepTypeFiveWithEnablePowersOff) {
  put(4, 2, 0x1400);
  EXPECT_EQ(offs, 0);
  put(4, 2, 0x3400);
  EXPECT_EQ(offs, 1);
  EXPECT_EQ(get(4, 2), 0x1401U) << "SLP_EN reads zero";
}

TEST_F(FixedHardware, OtherSleepTypesWakeAtOnce) {
  put(4, 2, 0x2400);
  EXPECT_EQ(offs, 0);
  EXPECT_EQ(get(0, 2), 0x8000U);
}

TEST_F(FixedHardware, ResetRegisterTakesItsValueOnly) {
  put(12, 1, 0x01);
  EXPECT_EQ(resets, 0);
  put(12, 1, 0x06);
  EXPECT_EQ(resets, 1);
}

TEST_F(FixedHardware, TimerCountsAt3579545HzAnd32Bits) {
  time.advance(seconds{1});
  EXPECT_EQ(get(8, 4), 3'579'545U);
  time.advance(seconds{1199});
  EXPECT_EQ(get(8, 4), 3'579'545ULL * 1200 % (1ULL << 32U));
}

TEST_F(FixedHardware, TimerInterruptsWhenItsTopBitChanges) {
  put(2, 2, 0x0001);
  ASSERT_TRUE(timer.armed);
  EXPECT_NEAR(static_cast<double>(timer.first.count()), 599.93e9, 0.01e9);
  time.advance(timer.first);
  timer.armed = false;  // it was armed once
  pm.timer_tick();
  EXPECT_TRUE(sci.asserted);
  EXPECT_FALSE(timer.armed);
  put(0, 2, 0x0001);
  EXPECT_FALSE(sci.asserted);
  EXPECT_TRUE(timer.armed);
  put(2, 2, 0x0000);
  EXPECT_FALSE(timer.armed);
}

TEST_F(FixedHardware, UnusedBytesReadAllOnes) {
  EXPECT_EQ(get(6, 2), 0xffffU);
  EXPECT_EQ(get(13, 8), ~0ULL);
}

TEST_F(FixedHardware, ResetDisablesEverything) {
  put(2, 2, 0x0101);
  pm.press_power_button();
  pm.reset();
  EXPECT_FALSE(sci.asserted);
  EXPECT_FALSE(timer.armed);
  EXPECT_EQ(get(0, 4), 0U);
}

}  // namespace
}  // namespace pcivm::vmm
