// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/msix_bar.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace pcivm::vfio {
namespace {

iommu::Bar memory(std::uint8_t index, std::uint64_t size, bool wide = false) {
  return {.index = index, .size = size, .wide = wide};
}

iommu::Msix at(unsigned entries, std::uint8_t table_bar, std::uint32_t table, std::uint8_t pba_bar, std::uint32_t pba) {
  return {.entries = entries,
          .place = {.table_bar = table_bar, .table_offset = table, .pba_bar = pba_bar, .pba_offset = pba}};
}

const std::vector<iommu::Bar> kOne{memory(0, 0x10000, true)};

TEST(MsixBar, IsMadeForATableBehindRegistersOnItsPage) {
  const auto bar = msix_bar(kOne, at(3, 0, 0x800, 0, 0x2000));
  ASSERT_TRUE(bar);
  EXPECT_EQ(bar->index, 5U);
  EXPECT_EQ(bar->size, 0x1000U);
  EXPECT_FALSE(bar->wide);
  EXPECT_FALSE(bar->prefetchable);
  EXPECT_FALSE(bar->io);
}

TEST(MsixBar, IsMadeForPendingBitsAmongRegisters) { EXPECT_TRUE(msix_bar(kOne, at(3, 0, 0x2000, 0, 0x3010))); }

TEST(MsixBar, IsNotMadeWhereThePagesAreTheirOwn) {
  EXPECT_FALSE(msix_bar(kOne, at(3, 0, 0x2000, 0, 0x3000))) << "as in QEMU's NVMe drive";
  EXPECT_FALSE(msix_bar(kOne, at(3, 0, 0, 0, 0x800))) << "pending bits on the page of the table";
  EXPECT_FALSE(msix_bar(kOne, at(3, 0, 0x2800, 0, 0x2000))) << "the other way round";
  EXPECT_FALSE(msix_bar(kOne, at(384, 0, 0x2000, 0, 0x3800))) << "on the second page of the table";
}

TEST(MsixBar, PendingBitsBehindATableThatEndsBeforeTheirPageAreAmongRegisters) {
  EXPECT_TRUE(msix_bar(kOne, at(256, 0, 0x2000, 0, 0x3800)));
  EXPECT_TRUE(msix_bar({{memory(0, 0x10000), memory(2, 0x10000)}}, at(3, 0, 0, 2, 0x800)));
}

TEST(MsixBar, HoldsBothStructures) {
  const auto largest = msix_bar(kOne, at(2048, 0, 0x1010, 0, 0xa000));
  ASSERT_TRUE(largest);
  EXPECT_EQ(largest->size, 0x10000U);
  for (const unsigned entries : {1U, 3U, 64U, 65U, 252U, 255U, 256U, 2048U}) {
    const auto bar = msix_bar(kOne, at(entries, 0, 0x810, 0, 0xa000));
    ASSERT_TRUE(bar) << entries;
    EXPECT_GE(msix_pending_offset(entries), msix_table_length(entries));
    EXPECT_EQ(msix_pending_offset(entries) % 8, 0U);
    EXPECT_LE(msix_pending_offset(entries) + msix_pending_length(entries), bar->size);
  }
}

TEST(MsixBar, TakesTheLastBarThatIsFree) {
  EXPECT_EQ(msix_bar({{memory(0, 0x10000, true), memory(4, 0x1000, true)}}, at(3, 0, 0x800, 0, 0x2000))->index, 3U);
  EXPECT_EQ(msix_bar({{memory(0, 0x10000), memory(5, 0x1000)}}, at(3, 0, 0x800, 0, 0x2000))->index, 4U);
}

TEST(MsixBar, IsNotMadeWhereNoneIsFree) {
  EXPECT_FALSE(msix_bar({{memory(0, 0x10000, true), memory(2, 0x1000, true), memory(4, 0x1000, true)}},
                        at(3, 0, 0x800, 0, 0x2000)));
}

TEST(MsixBar, IsNotMadeForWhatIsNoDeviceOrHasNothingToMap) {
  EXPECT_FALSE(msix_bar(kOne, at(3, 2, 0x800, 0, 0x2000))) << "no such BAR";
  EXPECT_FALSE(msix_bar(kOne, at(3, 0, 0xfff0, 0, 0x2000))) << "out of the BAR";
  EXPECT_FALSE(msix_bar(kOne, at(3, 0, 0xfffffff8, 0, 0xfffffff8)));
  EXPECT_FALSE(msix_bar({{memory(0, 0x800)}}, at(3, 0, 0x100, 0, 0x400))) << "less than a page traps in any case";
  EXPECT_FALSE(msix_bar({{iommu::Bar{.index = 0, .size = 0x1000, .io = true}}}, at(3, 0, 0x100, 0, 0x400)));
  EXPECT_FALSE(msix_bar({}, at(3, 0, 0x800, 0, 0x2000)));
}

}  // namespace
}  // namespace pcivm::vfio
