// SPDX-License-Identifier: GPL-2.0-or-later
// The 8254 (Intel 231164) and port 0x61. Counter 2 is the one whose gate and output can be reached.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr unsigned kTimer = kPicVector;

void gate(bool on) { out8(0x61, static_cast<uint8_t>((in8(0x61) & ~3U) | (on ? 1U : 0U))); }
bool output() { return (in8(0x61) & 0x20) != 0; }
void control(uint8_t value) { out8(0x43, value); }
void count2(uint16_t value) {
  out8(0x42, static_cast<uint8_t>(value));
  out8(0x42, static_cast<uint8_t>(value >> 8));
}
uint16_t read2() {
  const uint8_t low = in8(0x42);
  return static_cast<uint16_t>(low | in8(0x42) << 8);
}
uint16_t latched2() {
  control(0x80);
  return read2();
}

KERNEL_TEST(pit, counts_down) {
  gate(true);
  control(0xb4);
  count2(0xffff);
  const unsigned first = latched2();
  wait_us(500);
  const unsigned second = latched2();
  EXPECT_TRUE(second < first);
  EXPECT_TRUE(first - second >= 500);
}

// A busy host takes the CPU away for milliseconds: what must follow soon is tried this often.
constexpr int kTries = 20;

KERNEL_TEST(pit, counts_at_1193182_hz) {
  gate(true);
  bool kept_pace = false;
  for (int attempt = 0; attempt < kTries && !kept_pace; ++attempt) {
    control(0xb4);
    count2(0);
    const auto start = pm_timer();
    const unsigned first = latched2();
    wait_us(20000);
    const unsigned second = latched2();
    const auto end = pm_timer();
    const auto passed = static_cast<uint32_t>(end - start);
    // The PM timer runs at exactly three times the rate; what lies between the readings may be slow.
    const unsigned ticks = (first - second) & 0xffff;
    EXPECT_TRUE(ticks * 3 <= passed + 30);
    kept_pace = ticks * 3 + ticks >= passed;
  }
  EXPECT_TRUE(kept_pace);
}

KERNEL_TEST(pit, a_latched_count_waits_to_be_read) {
  gate(true);
  control(0xb4);
  count2(0xffff);
  wait_us(200);
  control(0x80);
  wait_us(500);
  control(0x80);  // ignored
  const unsigned latched = read2();
  const unsigned later = latched2();
  EXPECT_TRUE(latched - later >= 500);
}

KERNEL_TEST(pit, one_byte_accesses) {
  gate(true);
  bool counts_from_high = false;
  for (int attempt = 0; attempt < kTries && !counts_from_high; ++attempt) {
    control(0xa0);  // mode 0, high byte only
    out8(0x42, 0x80);
    control(0x80);
    const auto high = in8(0x42);
    counts_from_high = high >= 0x7e && high <= 0x80;
  }
  EXPECT_TRUE(counts_from_high);
  control(0x90);  // mode 0, low byte only
  gate(false);
  out8(0x42, 0x40);
  control(0x80);
  EXPECT_TRUE(in8(0x42) <= 0x40);
}

KERNEL_TEST(pit, read_back_gives_status_then_count) {
  gate(true);
  control(0xb4);
  count2(0x8000);
  wait_us(100);
  control(0xc8);  // both, of counter 2
  EXPECT_EQ(in8(0x42) & 0x3f, 0x34);
  const unsigned count = read2();
  EXPECT_TRUE(count > 0 && count <= 0x8000);
}

KERNEL_TEST(pit, a_counter_without_count_says_so) {
  control(0xb4);
  control(0xe8);  // status only
  EXPECT_EQ(in8(0x42) & 0x40, 0x40);
  gate(true);
  count2(1000);
  wait_us(50);
  control(0xe8);
  EXPECT_EQ(in8(0x42) & 0x40, 0);
}

KERNEL_TEST(pit, mode_0_rises_at_its_end) {
  gate(true);
  control(0xb0);
  EXPECT_TRUE(!output());
  count2(0xffff);
  EXPECT_TRUE(!output());
  control(0xb0);
  count2(100);
  wait_us(1000);
  EXPECT_TRUE(output());
}

KERNEL_TEST(pit, the_gate_holds_mode_0) {
  gate(false);
  control(0xb0);
  count2(20000);
  const unsigned first = latched2();
  wait_us(1000);
  EXPECT_EQ(latched2(), first);
  gate(true);
  wait_us(1000);
  EXPECT_TRUE(latched2() < first);
}

KERNEL_TEST(pit, mode_1_is_triggered_by_the_gate) {
  gate(false);
  control(0xb2);
  count2(60000);
  wait_us(300);
  EXPECT_TRUE(output());
  gate(true);
  EXPECT_TRUE(!output());
  wait_us(60000);
  EXPECT_TRUE(output());
}

KERNEL_TEST(pit, mode_2_starts_again) {
  gate(true);
  control(0xb4);
  count2(2000);
  for (int i = 0; i < 20; ++i) {
    const unsigned count = latched2();
    EXPECT_TRUE(count >= 1 && count <= 2000);
    wait_us(300);
  }
}

KERNEL_TEST(pit, mode_3_is_a_square_wave) {
  gate(true);
  control(0xb6);
  count2(20000);  // 16.8 ms
  unsigned high = 0;
  unsigned changes = 0;
  bool former = output();
  for (int i = 0; i < 400; ++i) {
    const bool now = output();
    changes += now != former ? 1 : 0;
    former = now;
    high += now ? 1 : 0;
    wait_us(200);
  }
  EXPECT_TRUE(high > 100 && high < 300);
  EXPECT_TRUE(changes >= 6);
}

KERNEL_TEST(pit, mode_5_waits_for_the_gate) {
  gate(false);
  control(0xba);
  count2(3000);
  EXPECT_TRUE(output());
  const unsigned waiting = latched2();
  wait_us(500);
  EXPECT_EQ(latched2(), waiting);
  gate(true);
  wait_us(300);
  EXPECT_TRUE(latched2() != waiting);
}

KERNEL_TEST(pit, one_shot_is_one_interrupt) {
  unmask_pic(0);
  forget_interrupts();
  one_shot(200);
  allow_interrupts(20000);
  EXPECT_EQ(interrupts(kTimer), 1);
}

KERNEL_TEST(pit, an_edge_while_masked_waits) {
  one_shot(50);
  wait_us(5000);
  forget_interrupts();
  unmask_pic(0);
  EXPECT_TRUE(until([] { return interrupts(kTimer) != 0; }, kSoon));
}

KERNEL_TEST(pit, periodic_interrupts_are_not_more_than_periods) {
  unmask_pic(0);
  forget_interrupts();
  const auto start = pm_timer();
  out8(0x43, 0x34);
  out8(0x40, 0x9c);  // 11,932: 100 Hz
  out8(0x40, 0x2e);
  EXPECT_TRUE(until([] { return interrupts(kTimer) >= 5; }, 2 * kSoon));
  const auto passed = static_cast<uint32_t>(pm_timer() - start);
  EXPECT_TRUE(passed >= 4 * (kPmHz / 100));
  EXPECT_EQ(interrupts_of_all(), interrupts(kTimer));
}

KERNEL_TEST(pit, a_new_control_word_silences_it) {
  unmask_pic(0);
  out8(0x43, 0x34);
  out8(0x40, 0x9c);
  out8(0x40, 0x2e);
  EXPECT_TRUE(until([] { return interrupts(kTimer) >= 1; }, kSoon));
  out8(0x43, 0x30);
  allow_interrupts(1000);
  forget_interrupts();
  allow_interrupts(30000);
  EXPECT_EQ(interrupts_of_all(), 0);
}

KERNEL_TEST(pit, port_61_keeps_its_bits_and_shows_refresh) {
  out8(0x61, 0x03);
  EXPECT_EQ(in8(0x61) & 0x0f, 0x03);
  out8(0x61, 0x00);
  EXPECT_EQ(in8(0x61) & 0x0f, 0x00);
  const unsigned before = in8(0x61) & 0x10;
  bool toggled = false;
  for (int i = 0; i < 100 && !toggled; ++i) {
    wait_us(7);
    toggled = (in8(0x61) & 0x10U) != before;
  }
  EXPECT_TRUE(toggled);
}

}  // namespace
