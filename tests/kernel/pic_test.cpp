// SPDX-License-Identifier: GPL-2.0-or-later
// The pair of 8259A (Intel 231468-003), and the ELCR.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr unsigned kTimer = kPicVector;
constexpr unsigned kUart = kPicVector + 4;
constexpr unsigned kClock = kPicVector + 8;
uint8_t seen;

uint8_t requests() {
  out8(0x20, 0x0a);
  return in8(0x20);
}
uint8_t in_service() {
  out8(0x20, 0x0b);
  return in8(0x20);
}
// The timer's edge has arrived, but with interrupts off nobody has taken it.
bool timer_waits() {
  for (unsigned i = 0; i < kSoon / 1000 && (requests() & 1) == 0; ++i) wait_us(1000);
  return (requests() & 1) != 0;
}
bool timer_came() { return interrupts(kTimer) != 0; }
bool uart_came() { return interrupts(kUart) != 0; }

KERNEL_TEST(pic, mask_reads_back) {
  for (const unsigned value : {0xa5U, 0x5aU, 0xffU}) {
    out8(0x21, static_cast<uint8_t>(value));
    out8(0xa1, static_cast<uint8_t>(value ^ 0xff));
    EXPECT_EQ(in8(0x21), value);
    EXPECT_EQ(in8(0xa1), value ^ 0xff);
  }
}

KERNEL_TEST(pic, initialisation_clears_the_mask) {
  out8(0x21, 0xff);
  out8(0x20, 0x11);
  out8(0x21, kPicVector);
  out8(0x21, 4);
  out8(0x21, 1);
  EXPECT_EQ(in8(0x21), 0);
}

KERNEL_TEST(pic, a_request_is_seen_before_it_is_taken) {
  unmask_pic(0);
  one_shot(50);
  EXPECT_TRUE(timer_waits());
  EXPECT_EQ(in_service() & 1, 0);
  EXPECT_TRUE(until(timer_came, kSoon));
  EXPECT_EQ(requests() & 1, 0);
}

KERNEL_TEST(pic, an_interrupt_is_in_service_until_its_end) {
  unmask_pic(0);
  forget_interrupts();
  on_each_interrupt([](unsigned) { seen = in_service(); });
  one_shot(50);
  EXPECT_TRUE(until(timer_came, kSoon));
  EXPECT_EQ(seen & 1, 1);
  EXPECT_EQ(in_service() & 1, 0);
  EXPECT_EQ(interrupts_of_all(), 1);
}

KERNEL_TEST(pic, lower_priority_waits_for_the_end_of_interrupt) {
  unmask_pic(0);
  unmask_pic(4);
  forget_interrupts(Acknowledge::nobody);
  one_shot(50);
  EXPECT_TRUE(until(timer_came, kSoon));
  assert_uart();
  allow_interrupts(2000);
  EXPECT_EQ(interrupts(kUart), 0);
  out8(0x20, 0x20);
  EXPECT_TRUE(until(uart_came, kSoon));
  out8(0x20, 0x20);
}

KERNEL_TEST(pic, higher_priority_interrupts_the_lower) {
  unmask_pic(0);
  unmask_pic(4);
  forget_interrupts(Acknowledge::nobody);
  assert_uart();
  EXPECT_TRUE(until(uart_came, kSoon));
  one_shot(50);
  EXPECT_TRUE(until(timer_came, kSoon));
  EXPECT_EQ(in_service() & 0x11, 0x11);
  out8(0x20, 0x20);  // the highest in service
  EXPECT_EQ(in_service() & 0x11, 0x10);
  out8(0x20, 0x20);
  EXPECT_EQ(in_service() & 0x11, 0);
}

KERNEL_TEST(pic, a_specific_end_names_its_line) {
  unmask_pic(0);
  unmask_pic(4);
  forget_interrupts(Acknowledge::nobody);
  assert_uart();
  EXPECT_TRUE(until(uart_came, kSoon));
  one_shot(50);
  EXPECT_TRUE(until(timer_came, kSoon));
  out8(0x20, 0x64);
  EXPECT_EQ(in_service() & 0x11, 0x01);
  out8(0x20, 0x60);
  EXPECT_EQ(in_service(), 0);
}

KERNEL_TEST(pic, the_slave_comes_through_line_2) {
  unmask_pic(8);
  forget_interrupts(Acknowledge::nobody);
  out8(0x70, 0x0a);
  out8(0x71, 0x26);
  out8(0x70, 0x0b);
  out8(0x71, 0x42);
  EXPECT_TRUE(until([] { return interrupts(kClock) != 0; }, kSoon));
  EXPECT_EQ(in_service(), 0x04);
  out8(0xa0, 0x0b);
  EXPECT_EQ(in8(0xa0), 0x01);
  out8(0xa0, 0x20);
  out8(0x20, 0x20);
  out8(0xa0, 0x0b);
  EXPECT_EQ(in8(0xa0), 0);
  EXPECT_EQ(in_service(), 0);
}

KERNEL_TEST(pic, polling_acknowledges) {
  unmask_pic(4);
  out8(0x20, 0x0c);
  EXPECT_EQ(in8(0x20) & 0x80, 0);
  assert_uart();
  out8(0x20, 0x0c);
  EXPECT_EQ(in8(0x20), 0x84);
  EXPECT_EQ(in_service(), 0x10);
  out8(0x20, 0x20);
}

KERNEL_TEST(pic, special_mask_lets_lower_lines_through) {
  unmask_pic(0);
  unmask_pic(4);
  forget_interrupts(Acknowledge::nobody);
  one_shot(50);
  EXPECT_TRUE(until(timer_came, kSoon));
  assert_uart();
  allow_interrupts(2000);
  EXPECT_EQ(interrupts(kUart), 0);
  out8(0x20, 0x68);
  out8(0x21, static_cast<uint8_t>(in8(0x21) | 1));
  EXPECT_TRUE(until(uart_came, kSoon));
  out8(0x20, 0x48);
  out8(0x20, 0x60);
  out8(0x20, 0x64);
}

KERNEL_TEST(pic, priorities_rotate) {
  unmask_pic(0);
  unmask_pic(4);
  out8(0x20, 0xc3);  // line 3 is the lowest, so line 4 the highest
  one_shot(50);
  EXPECT_TRUE(timer_waits());
  assert_uart();
  EXPECT_TRUE(until([] { return interrupts_of_all() >= 2; }, kSoon));
  EXPECT_EQ(nth_interrupt(0), kUart);
  EXPECT_EQ(nth_interrupt(1), kTimer);
}

KERNEL_TEST(pic, automatic_end) {
  out8(0x20, 0x11);
  out8(0x21, kPicVector);
  out8(0x21, 4);
  out8(0x21, 3);
  out8(0x21, 0xff);
  unmask_pic(0);
  forget_interrupts(Acknowledge::nobody);
  one_shot(50);
  EXPECT_TRUE(until(timer_came, kSoon));
  EXPECT_EQ(in_service(), 0);
}

KERNEL_TEST(pic, an_edge_interrupts_once) {
  unmask_pic(4);
  forget_interrupts();
  assert_uart();  // and stays asserted
  EXPECT_TRUE(until(uart_came, kSoon));
  allow_interrupts(2000);
  EXPECT_EQ(interrupts(kUart), 1);
  deassert_uart();
  assert_uart();
  EXPECT_TRUE(until([] { return interrupts(kUart) == 2; }, kSoon));
}

KERNEL_TEST(pic, a_level_interrupts_until_it_goes) {
  out8(0x4d0, 0x10);
  unmask_pic(4);
  forget_interrupts();
  on_each_interrupt([](unsigned) {
    if (interrupts(kUart) == 3) deassert_uart();
  });
  assert_uart();
  EXPECT_TRUE(until([] { return interrupts(kUart) >= 3; }, kSoon));
  allow_interrupts(2000);
  EXPECT_EQ(interrupts(kUart), 3);
}

KERNEL_TEST(pic, a_level_that_went_leaves_no_request) {
  out8(0x4d0, 0x10);
  unmask_pic(4);
  assert_uart();
  EXPECT_EQ(requests() & 0x10, 0x10);
  deassert_uart();
  EXPECT_EQ(requests() & 0x10, 0);
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 0);
}

KERNEL_TEST(pic, a_masked_line_waits) {
  assert_uart();
  allow_interrupts(2000);
  EXPECT_EQ(interrupts(kUart), 0);
  EXPECT_EQ(requests() & 0x10, 0x10);
  unmask_pic(4);
  EXPECT_TRUE(until(uart_came, kSoon));
}

KERNEL_TEST(pic, elcr_has_the_lines_that_may_be_levels) {
  out8(0x4d0, 0xff);
  out8(0x4d1, 0xff);
  EXPECT_EQ(in8(0x4d0), 0xf8);
  EXPECT_EQ(in8(0x4d1), 0xde);
}

}  // namespace
