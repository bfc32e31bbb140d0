// SPDX-License-Identifier: GPL-2.0-or-later
// The keyboard controller: commands, both ports, interrupts. Its reset pulse ends a run, and is tested elsewhere.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr unsigned kKeyboard = kPicVector + 1;
constexpr unsigned kMouse = kPicVector + 12;

void drain() {
  for (int i = 0; i < 32 && (in8(0x64) & 1) != 0; ++i) (void)in8(0x60);
}
void command(uint8_t value) { out8(0x64, value); }
// The next byte, or 0x100 when there is none.
unsigned answer() {
  for (int i = 0; i < 100; ++i) {
    if ((in8(0x64) & 1) != 0) return in8(0x60);
    wait_us(10);
  }
  return 0x100;
}
unsigned ask(uint8_t value) {
  command(value);
  return answer();
}
void command_byte(uint8_t value) {
  command(0x60);
  out8(0x60, value);
}
// Both ports on, no interrupts, nothing waiting.
void fresh() {
  command_byte(0x40);
  drain();
}
unsigned mouse(uint8_t value) {
  command(0xd4);
  out8(0x60, value);
  return answer();
}

KERNEL_TEST(i8042, tests_itself) {
  fresh();
  EXPECT_EQ(ask(0xaa), 0x55);
}

KERNEL_TEST(i8042, tests_both_ports) {
  fresh();
  EXPECT_EQ(ask(0xab), 0x00);
  EXPECT_EQ(ask(0xa9), 0x00);
}

KERNEL_TEST(i8042, keeps_its_command_byte) {
  fresh();
  for (const unsigned value : {0x40U, 0x67U, 0x44U}) {
    command_byte(static_cast<uint8_t>(value));
    EXPECT_EQ(ask(0x20), value);
  }
  command_byte(0x40);
}

KERNEL_TEST(i8042, keeps_its_memory) {
  fresh();
  command(0x65);
  out8(0x60, 0xa5);
  EXPECT_EQ(ask(0x25), 0xa5);
}

KERNEL_TEST(i8042, ports_are_switched_off_and_on) {
  fresh();
  command(0xad);
  EXPECT_EQ(ask(0x20) & 0x10, 0x10);
  command(0xae);
  EXPECT_EQ(ask(0x20) & 0x10, 0x00);
  command(0xa7);
  EXPECT_EQ(ask(0x20) & 0x20, 0x20);
  command(0xa8);
  EXPECT_EQ(ask(0x20) & 0x20, 0x00);
}

KERNEL_TEST(i8042, status_tells_command_from_data) {
  fresh();
  command(0xae);
  EXPECT_EQ(in8(0x64) & 0x08, 0x08);
  out8(0x60, 0xee);
  EXPECT_EQ(in8(0x64) & 0x08, 0x00);
  drain();
}

KERNEL_TEST(i8042, a_byte_may_be_put_into_either_buffer) {
  fresh();
  command(0xd2);
  out8(0x60, 0x5a);
  EXPECT_EQ(in8(0x64) & 0x21, 0x01);
  EXPECT_EQ(in8(0x60), 0x5a);
  command(0xd3);
  out8(0x60, 0xa5);
  EXPECT_EQ(in8(0x64) & 0x21, 0x21);
  EXPECT_EQ(in8(0x60), 0xa5);
}

KERNEL_TEST(i8042, the_output_port_keeps_a20) {
  fresh();
  command(0xd1);
  out8(0x60, 0xdf);
  EXPECT_EQ(ask(0xd0) & 0x03, 0x03);
}

KERNEL_TEST(i8042, port_92_keeps_a20) {
  const uint8_t former = in8(0x92);
  out8(0x92, static_cast<uint8_t>(former | 0x02));
  EXPECT_EQ(in8(0x92) & 0x03, 0x02);
}

KERNEL_TEST(i8042, the_keyboard_answers) {
  fresh();
  out8(0x60, 0xee);
  EXPECT_EQ(answer(), 0xee);
  out8(0x60, 0xf2);
  EXPECT_EQ(answer(), 0xfa);
  EXPECT_EQ(answer(), 0xab);
  EXPECT_EQ(answer(), 0x41);  // 0x83, translated to scan code set 1
  command_byte(0x00);
  out8(0x60, 0xf2);
  EXPECT_EQ(answer(), 0xfa);
  EXPECT_EQ(answer(), 0xab);
  EXPECT_EQ(answer(), 0x83);
  out8(0x60, 0xff);
  EXPECT_EQ(answer(), 0xfa);
  EXPECT_EQ(answer(), 0xaa);
  out8(0x60, 0xed);
  EXPECT_EQ(answer(), 0xfa);
  out8(0x60, 0x02);
  EXPECT_EQ(answer(), 0xfa);
}

KERNEL_TEST(i8042, the_mouse_answers) {
  fresh();
  EXPECT_EQ(mouse(0xff), 0xfa);
  EXPECT_EQ(answer(), 0xaa);
  EXPECT_EQ(answer(), 0x00);
  EXPECT_EQ(mouse(0xf2), 0xfa);
  EXPECT_EQ(answer(), 0x00);
  EXPECT_EQ(mouse(0xe8), 0xfa);
  EXPECT_EQ(mouse(0x03), 0xfa);
  EXPECT_EQ(mouse(0xf3), 0xfa);
  EXPECT_EQ(mouse(100), 0xfa);
  EXPECT_EQ(mouse(0xe9), 0xfa);
  EXPECT_EQ(answer(), 0x00);
  EXPECT_EQ(answer(), 0x03);
  EXPECT_EQ(answer(), 100);
  EXPECT_EQ(mouse(0xf4), 0xfa);
  EXPECT_EQ(mouse(0xf5), 0xfa);
}

KERNEL_TEST(i8042, an_answer_of_the_mouse_is_marked) {
  fresh();
  command(0xd4);
  out8(0x60, 0xf4);
  wait_us(100);
  EXPECT_EQ(in8(0x64) & 0x21, 0x21);
  drain();
}

KERNEL_TEST(i8042, the_keyboard_interrupts_on_line_1) {
  fresh();
  unmask_pic(1);
  unmask_pic(12);
  forget_interrupts();
  command_byte(0x43);
  out8(0x60, 0xee);
  EXPECT_TRUE(until([] { return interrupts(kKeyboard) != 0; }, kSoon));
  EXPECT_EQ(interrupts(kMouse), 0);
  fresh();
}

KERNEL_TEST(i8042, the_mouse_interrupts_on_line_12) {
  fresh();
  unmask_pic(1);
  unmask_pic(12);
  forget_interrupts();
  command_byte(0x43);
  command(0xd4);
  out8(0x60, 0xf4);
  EXPECT_TRUE(until([] { return interrupts(kMouse) != 0; }, kSoon));
  EXPECT_EQ(interrupts(kKeyboard), 0);
  fresh();
}

KERNEL_TEST(i8042, without_its_enable_nothing_interrupts) {
  fresh();
  unmask_pic(1);
  unmask_pic(12);
  forget_interrupts();
  out8(0x60, 0xee);
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 0);
  drain();
}

}  // namespace
