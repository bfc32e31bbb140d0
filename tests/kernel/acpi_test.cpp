// SPDX-License-Identifier: GPL-2.0-or-later
// Fixed hardware of ACPI (6.5, 4.8), and the two ways to PCI configuration space.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

namespace {

constexpr uint64_t kEcam = 0xe0000000;

KERNEL_TEST(acpi, the_timer_never_goes_back) {
  auto former = pm_timer();
  for (int i = 0; i < 1000; ++i) {
    const auto now = pm_timer();
    EXPECT_TRUE(now - former < kPmHz);
    former = now;
  }
}

KERNEL_TEST(acpi, it_is_in_acpi_mode) {
  EXPECT_EQ(in16(kPm + 4) & 1, 1);
  out16(kPm + 4, 0);
  EXPECT_EQ(in16(kPm + 4) & 1, 1);
}

KERNEL_TEST(acpi, enables_read_back_and_status_is_cleared_by_ones) {
  out16(kPm, 0xffff);
  EXPECT_EQ(in16(kPm) & 0x0300, 0);
  out16(kPm + 2, 0x0300);
  EXPECT_EQ(in16(kPm + 2), 0x0300);
  out16(kPm + 2, 0);
  EXPECT_EQ(in16(kPm + 2), 0);
}

KERNEL_TEST(acpi, bytes_are_parts_of_words) {
  out8(kPm + 3, 0x03);
  EXPECT_EQ(in16(kPm + 2), 0x0300);
  EXPECT_EQ(in8(kPm + 3), 0x03);
  out16(kPm + 2, 0);
}

uint32_t config(unsigned slot, unsigned offset) {
  out32(0xcf8, 0x80000000 | slot << 11 | offset);
  return in32(0xcfc);
}

KERNEL_TEST(pci, the_address_reads_back) {
  out32(0xcf8, 0x80000008);
  EXPECT_EQ(in32(0xcf8), 0x80000008);
}

KERNEL_TEST(pci, slot_0_is_a_host_bridge) {
  EXPECT_TRUE((config(0, 0) & 0xffff) != 0xffff);
  EXPECT_EQ(config(0, 8) >> 16, 0x0600);
}

KERNEL_TEST(pci, nobody_is_all_ones) {
  EXPECT_EQ(config(31, 0), 0xffffffff);
  EXPECT_EQ(read32(kEcam + (31 << 15)), 0xffffffff);
}

KERNEL_TEST(pci, without_the_enable_bit_nobody_answers) {
  out32(0xcf8, 0);
  EXPECT_EQ(in32(0xcfc), 0xffffffff);
}

KERNEL_TEST(pci, bytes_and_words_are_parts) {
  const auto whole = config(0, 8);
  EXPECT_EQ(in8(0xcfc + 3), whole >> 24);
  EXPECT_EQ(in16(0xcfc + 2), whole >> 16);
}

KERNEL_TEST(pci, both_ways_show_the_same) {
  for (unsigned offset = 0; offset < 256; offset += 4) {
    EXPECT_EQ(read32(kEcam + offset), config(0, offset));
  }
}

KERNEL_TEST(pci, an_identity_cannot_be_written) {
  const auto identity = config(0, 0);
  out32(0xcfc, 0x12345678);
  EXPECT_EQ(config(0, 0), identity);
}

}  // namespace
