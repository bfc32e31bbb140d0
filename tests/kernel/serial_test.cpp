// SPDX-License-Identifier: GPL-2.0-or-later
// The 16550A (National Semiconductor PC16550D) at 0x3f8, in its loop-back: nothing of a test reaches the console.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr uint16_t kBase = 0x3f8;
constexpr unsigned kUart = kPicVector + 4;

uint8_t get(unsigned index) { return in8(static_cast<uint16_t>(kBase + index)); }
void put(unsigned index, uint8_t value) { out8(static_cast<uint16_t>(kBase + index), value); }
bool uart_came() { return interrupts(kUart) != 0; }
void loop_back(uint8_t lines = 0x08) { put(4, static_cast<uint8_t>(0x10 | lines)); }

KERNEL_TEST(serial, has_a_scratch_register) {
  for (const unsigned value : {0x00U, 0x5aU, 0xffU}) {
    put(7, static_cast<uint8_t>(value));
    EXPECT_EQ(get(7), value);
  }
}

KERNEL_TEST(serial, the_divisor_hides_data_and_enables) {
  put(1, 0x05);
  put(3, 0x83);
  put(0, 0x34);
  put(1, 0x12);
  EXPECT_EQ(get(0), 0x34);
  EXPECT_EQ(get(1), 0x12);
  put(0, 1);
  put(1, 0);
  put(3, 0x03);
  EXPECT_EQ(get(1), 0x05);
  EXPECT_EQ(get(3), 0x03);
}

KERNEL_TEST(serial, upper_bits_of_enables_are_zero) {
  put(1, 0xff);
  EXPECT_EQ(get(1), 0x0f);
}

KERNEL_TEST(serial, fifos_are_told_by_iir) {
  put(2, 0x00);
  EXPECT_EQ(get(2) & 0xc0, 0x00);
  put(2, 0x01);
  EXPECT_EQ(get(2) & 0xc0, 0xc0);
}

KERNEL_TEST(serial, what_is_sent_in_loop_back_is_received) {
  loop_back();
  EXPECT_EQ(get(5) & 0x01, 0);
  put(0, 0x5a);
  EXPECT_EQ(get(5) & 0x01, 1);
  EXPECT_EQ(get(0), 0x5a);
  EXPECT_EQ(get(5) & 0x01, 0);
}

KERNEL_TEST(serial, sixteen_bytes_fit_and_keep_their_order) {
  loop_back();
  for (unsigned i = 0; i < 16; ++i) put(0, static_cast<uint8_t>(i));
  EXPECT_EQ(get(5) & 0x02, 0);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(get(0), i);
  EXPECT_EQ(get(5) & 0x01, 0);
}

KERNEL_TEST(serial, the_seventeenth_is_an_overrun_told_once) {
  loop_back();
  for (unsigned i = 0; i < 17; ++i) put(0, static_cast<uint8_t>(i));
  EXPECT_EQ(get(5) & 0x02, 0x02);
  EXPECT_EQ(get(5) & 0x02, 0);
  EXPECT_EQ(get(0), 0);
}

KERNEL_TEST(serial, clearing_the_fifo_forgets) {
  loop_back();
  put(0, 1);
  put(2, 0x03);
  EXPECT_EQ(get(5) & 0x01, 0);
}

KERNEL_TEST(serial, modem_lines_in_loop_back) {
  loop_back(0x00);
  EXPECT_EQ(get(6) & 0xf0, 0x00);
  (void)get(6);
  loop_back(0x0f);
  EXPECT_EQ(get(6), 0xfb);  // all up; the ring only counts when it falls
  EXPECT_EQ(get(6), 0xf0);
  loop_back(0x0b);
  EXPECT_EQ(get(6), 0xb4);  // the ring's end
  loop_back(0x02);
  EXPECT_EQ(get(6) & 0xf0, 0x10);  // RTS is CTS
  loop_back(0x01);
  EXPECT_EQ(get(6) & 0xf0, 0x20);  // DTR is DSR
}

KERNEL_TEST(serial, an_empty_transmitter_interrupts_until_iir_is_read) {
  loop_back();
  put(1, 0x02);
  EXPECT_EQ(get(2) & 0x0f, 0x02);
  EXPECT_EQ(get(2) & 0x0f, 0x01);
  put(0, 1);
  EXPECT_EQ(get(2) & 0x0f, 0x02);
  EXPECT_EQ(get(5) & 0x60, 0x60);
}

KERNEL_TEST(serial, received_data_wins_over_the_transmitter) {
  loop_back();
  put(1, 0x03);
  put(0, 1);
  EXPECT_EQ(get(2) & 0x0e, 0x04);
  (void)get(0);
  EXPECT_EQ(get(2) & 0x0f, 0x02);
}

KERNEL_TEST(serial, line_status_wins_over_data) {
  loop_back();
  put(1, 0x05);
  for (unsigned i = 0; i < 17; ++i) put(0, 0);
  EXPECT_EQ(get(2) & 0x0f, 0x06);
  (void)get(5);
  EXPECT_EQ(get(2) & 0x0e, 0x04);
}

KERNEL_TEST(serial, below_its_trigger_data_is_a_timeout) {
  loop_back();
  put(2, 0x87);  // trigger at 8
  put(1, 0x01);
  put(0, 1);
  wait_us(5000);
  EXPECT_EQ(get(2) & 0x0f, 0x0c);
  (void)get(0);
  EXPECT_EQ(get(2) & 0x0f, 0x01);
}

KERNEL_TEST(serial, modem_changes_interrupt) {
  loop_back(0x08);
  (void)get(6);
  put(1, 0x08);
  EXPECT_EQ(get(2) & 0x0f, 0x01);
  loop_back(0x0a);
  EXPECT_EQ(get(2) & 0x0f, 0x00);
  (void)get(6);
  EXPECT_EQ(get(2) & 0x0f, 0x01);
}

KERNEL_TEST(serial, its_interrupt_is_line_4_and_needs_out2) {
  unmask_pic(4);
  forget_interrupts();
  put(4, 0x03);
  put(1, 0x02);
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 0);
  put(4, 0x0b);
  EXPECT_TRUE(until(uart_came, kSoon));
  EXPECT_EQ(interrupts_of_all(), 1);
}

}  // namespace
