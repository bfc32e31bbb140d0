// SPDX-License-Identifier: GPL-2.0-or-later
// The MC146818 clock and its memory.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr unsigned kClock = kPicVector + 8;

uint8_t get(uint8_t index) {
  out8(0x70, index);
  return in8(0x71);
}
void put(uint8_t index, uint8_t value) {
  out8(0x70, index);
  out8(0x71, value);
}
unsigned binary(uint8_t bcd) { return (bcd >> 4) * 10U + (bcd & 15U); }
bool is_bcd(uint8_t value) { return (value & 15) < 10 && value >> 4 < 10; }
bool clock_came() { return interrupts(kClock) != 0; }
void set_time(uint8_t hours, uint8_t minutes, uint8_t seconds) {
  put(0x0b, 0x82);
  put(4, hours);
  put(2, minutes);
  put(0, seconds);
  put(0x0b, 0x02);
}

KERNEL_TEST(rtc, tells_a_time_in_bcd) {
  EXPECT_TRUE(is_bcd(get(0)) && binary(get(0)) < 60);
  EXPECT_TRUE(is_bcd(get(2)) && binary(get(2)) < 60);
  EXPECT_TRUE(is_bcd(get(4)) && binary(get(4)) < 24);
  EXPECT_TRUE(is_bcd(get(7)) && binary(get(7)) >= 1 && binary(get(7)) <= 31);
  EXPECT_TRUE(is_bcd(get(8)) && binary(get(8)) >= 1 && binary(get(8)) <= 12);
  EXPECT_TRUE(binary(get(9)) >= 24);
  EXPECT_EQ(get(0x32), 0x20);
}

KERNEL_TEST(rtc, tells_the_same_in_binary) {
  const auto bcd = binary(get(8));
  put(0x0b, 0x06);
  EXPECT_EQ(get(8), bcd);
}

KERNEL_TEST(rtc, has_a_12_hour_clock) {
  set_time(0x15, 0x30, 0x00);
  put(0x0b, 0x00);
  EXPECT_EQ(get(4), 0x83);
  put(0x0b, 0x02);
  EXPECT_EQ(get(4), 0x15);
}

KERNEL_TEST(rtc, set_stops_the_clock) {
  put(0x0b, 0x82);
  const auto second = get(0);
  wait_us(1200000);
  EXPECT_EQ(get(0), second);
}

KERNEL_TEST(rtc, goes_on_from_what_was_set) {
  set_time(0x23, 0x59, 0x58);
  put(0x0b, 0x82);
  put(7, 0x28);
  put(8, 0x02);
  put(9, 0x24);  // a leap year
  put(0x0b, 0x02);
  wait_us(3200000);
  EXPECT_EQ(get(4), 0x00);
  EXPECT_EQ(get(2), 0x00);
  EXPECT_EQ(get(7), 0x29);
  EXPECT_EQ(get(8), 0x02);
}

KERNEL_TEST(rtc, has_memory_and_power) {
  put(0x50, 0xa5);
  put(0x51, 0x5a);
  EXPECT_EQ(get(0x50), 0xa5);
  EXPECT_EQ(get(0x51), 0x5a);
  EXPECT_EQ(get(0x0d), 0x80);
  put(0x0d, 0);
  EXPECT_EQ(get(0x0d), 0x80);
}

KERNEL_TEST(rtc, periodic_interrupts_are_acknowledged_by_reading_c) {
  unmask_pic(8);
  put(0x0a, 0x26);
  (void)get(0x0c);
  forget_interrupts();
  put(0x0b, 0x42);
  EXPECT_TRUE(until(clock_came, kSoon));
  allow_interrupts(20000);
  EXPECT_EQ(interrupts(kClock), 1);  // C has not been read
  EXPECT_EQ(get(0x0c) & 0xc0, 0xc0);
  EXPECT_TRUE(until([] { return interrupts(kClock) >= 2; }, kSoon));
}

KERNEL_TEST(rtc, flags_are_set_without_interrupts) {
  put(0x0a, 0x26);
  (void)get(0x0c);
  wait_us(5000);
  EXPECT_EQ(get(0x0c) & 0xc0, 0x40);
  EXPECT_EQ(get(0x0c) & 0x80, 0);
}

KERNEL_TEST(rtc, each_second_ends_with_an_interrupt) {
  unmask_pic(8);
  (void)get(0x0c);
  forget_interrupts();
  put(0x0b, 0x12);
  EXPECT_TRUE(until(clock_came, 2 * kSoon));
  EXPECT_EQ(get(0x0c) & 0x90, 0x90);
}

KERNEL_TEST(rtc, an_alarm_of_any_time_comes_each_second) {
  unmask_pic(8);
  for (const unsigned index : {1U, 3U, 5U}) put(static_cast<uint8_t>(index), 0xc0);
  (void)get(0x0c);
  forget_interrupts();
  put(0x0b, 0x22);
  EXPECT_TRUE(until(clock_came, 2 * kSoon));
  EXPECT_EQ(get(0x0c) & 0xa0, 0xa0);
}

KERNEL_TEST(rtc, an_alarm_comes_at_its_time_only) {
  unmask_pic(8);
  set_time(0x10, 0x20, 0x30);
  put(5, 0x10);
  put(3, 0x20);
  put(1, 0x33);
  (void)get(0x0c);
  forget_interrupts();
  put(0x0b, 0x22);
  allow_interrupts(1500000);
  EXPECT_EQ(interrupts(kClock), 0);
  EXPECT_TRUE(until(clock_came, 2 * kSoon));
  EXPECT_EQ(get(0) >= 0x33, true);
}

}  // namespace
