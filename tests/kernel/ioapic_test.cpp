// SPDX-License-Identifier: GPL-2.0-or-later
// The I/O APIC (Intel 82093AA, 290566), with the EOI register of version 0x20.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr uint64_t kIoapic = 0xfec00000;
constexpr unsigned kVector = 0x51;
constexpr uint32_t kMasked = 1U << 16;
constexpr uint32_t kLevel = 1U << 15;
constexpr uint32_t kRemoteIrr = 1U << 14;
constexpr unsigned kTimerPin = 2;
constexpr unsigned kUartPin = 4;

uint32_t get(uint32_t index) {
  write32(kIoapic, index);
  return read32(kIoapic + 0x10);
}
void put(uint32_t index, uint32_t value) {
  write32(kIoapic, index);
  write32(kIoapic + 0x10, value);
}
void entry(unsigned pin, uint32_t low) {
  put(0x11 + pin * 2, read32(kApic + 0x20) & 0xff000000);
  put(0x10 + pin * 2, low);
}
bool came() { return interrupts(kVector) != 0; }

KERNEL_TEST(ioapic, tells_version_and_pins) { EXPECT_EQ(get(1) & 0x00ff00ff, 0x00170020); }

KERNEL_TEST(ioapic, keeps_its_id) {
  const auto former = get(0);
  put(0, 0x0f000000);
  EXPECT_EQ(get(0), 0x0f000000);
  put(0, 0xffffffff);
  EXPECT_EQ(get(0), 0x0f000000);
  put(0, former);
}

KERNEL_TEST(ioapic, keeps_entries_but_for_their_status) {
  put(0x10 + 2 * 10, kMasked | 0x0000ffff);
  EXPECT_EQ(get(0x10 + 2 * 10), kMasked | (0x0000ffff & ~(kRemoteIrr | 1U << 12)));
  put(0x11 + 2 * 10, 0xff000000);
  EXPECT_EQ(get(0x11 + 2 * 10), 0xff000000);
  put(0x10 + 2 * 10, kMasked);
}

KERNEL_TEST(ioapic, an_edge_is_delivered_once) {
  forget_interrupts(Acknowledge::apic);
  entry(kTimerPin, kVector);
  one_shot(50);
  EXPECT_TRUE(until(came, kSoon));
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 1);
}

KERNEL_TEST(ioapic, a_masked_pin_is_silent) {
  forget_interrupts(Acknowledge::apic);
  entry(kUartPin, kMasked | kLevel | kVector);
  assert_uart();
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 0);
}

KERNEL_TEST(ioapic, a_level_that_was_masked_comes_when_it_is_not) {
  forget_interrupts(Acknowledge::apic);
  entry(kUartPin, kMasked | kLevel | kVector);
  assert_uart();
  on_each_interrupt([](unsigned) { deassert_uart(); });
  entry(kUartPin, kLevel | kVector);
  EXPECT_TRUE(until(came, kSoon));
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 1);
}

KERNEL_TEST(ioapic, a_level_has_remote_irr_until_its_eoi) {
  forget_interrupts(Acknowledge::nobody);
  on_each_interrupt([](unsigned) { deassert_uart(); });
  entry(kUartPin, kLevel | kVector);
  assert_uart();
  EXPECT_TRUE(until(came, kSoon));
  const auto in_service = read32(kApic + 0x100 + kVector / 32 * 0x10) >> kVector % 32 & 1;
  SKIP_UNLESS(in_service == 1, "this local APIC ends interrupts by itself");
  EXPECT_EQ(get(0x10 + 2 * kUartPin) & kRemoteIrr, kRemoteIrr);
  write32(kApic + 0xb0, 0);
  wait_us(1000);
  EXPECT_EQ(get(0x10 + 2 * kUartPin) & kRemoteIrr, 0);
}

KERNEL_TEST(ioapic, a_level_that_stays_comes_again) {
  forget_interrupts(Acknowledge::apic);
  on_each_interrupt([](unsigned) {
    if (interrupts(kVector) == 3) deassert_uart();
  });
  entry(kUartPin, kLevel | kVector);
  assert_uart();
  EXPECT_TRUE(until([] { return interrupts(kVector) >= 3; }, kSoon));
  allow_interrupts(2000);
  EXPECT_EQ(interrupts_of_all(), 3);
}

KERNEL_TEST(ioapic, its_eoi_register_ends_a_level) {
  forget_interrupts(Acknowledge::nobody);
  on_each_interrupt([](unsigned) { deassert_uart(); });
  entry(kUartPin, kLevel | kVector);
  assert_uart();
  EXPECT_TRUE(until(came, kSoon));
  write32(kIoapic + 0x40, kVector);
  EXPECT_EQ(get(0x10 + 2 * kUartPin) & kRemoteIrr, 0);
  write32(kApic + 0xb0, 0);
}

KERNEL_TEST(ioapic, becoming_an_edge_clears_remote_irr) {
  forget_interrupts(Acknowledge::nobody);
  on_each_interrupt([](unsigned) { deassert_uart(); });
  entry(kUartPin, kLevel | kVector);
  assert_uart();
  EXPECT_TRUE(until(came, kSoon));
  entry(kUartPin, kMasked | kVector);  // how Linux ends a level where there is no EOI register
  EXPECT_EQ(get(0x10 + 2 * kUartPin) & kRemoteIrr, 0);
  write32(kApic + 0xb0, 0);
}

KERNEL_TEST(ioapic, a_logical_destination_is_found) {
  forget_interrupts(Acknowledge::apic);
  write32(kApic + 0xe0, 0xffffffff);  // flat
  write32(kApic + 0xd0, 0x01000000);
  put(0x11 + 2 * kTimerPin, 0x01000000);
  put(0x10 + 2 * kTimerPin, kVector | 1U << 11);
  one_shot(50);
  EXPECT_TRUE(until(came, kSoon));
}

KERNEL_TEST(ioapic, another_destination_is_not) {
  forget_interrupts(Acknowledge::apic);
  put(0x11 + 2 * kTimerPin, 0x0e000000);
  put(0x10 + 2 * kTimerPin, kVector);
  one_shot(50);
  allow_interrupts(5000);
  EXPECT_EQ(interrupts_of_all(), 0);
}

}  // namespace
