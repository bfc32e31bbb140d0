// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/assigned_rig.hpp"

namespace pcivm::vmm {
namespace {

using test::AssignedRig;
using test::FakeVfio;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Table and pending bits are among the registers of BAR 0, and the guest finds them in BAR 5.
class MsixRelocation : public testing::Test {
 protected:
  static constexpr std::uint64_t kOurs = AssignedRig::kLow + 0x10000;
  static constexpr unsigned kEntries = 3;
  static constexpr std::uint64_t kPending = kOurs + vfio::msix_pending_offset(kEntries);

  MsixRelocation() {
    rig.fake.regions[0].msix_mappable = true;
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_TABLE, 4, 0x800);
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_PBA, 4, 0xc00);
    rig.facts.msix_bar = iommu::Bar{.index = 5, .size = kPageSize};
  }
  void start() {
    rig.ready();
    rig.device->place_bar(5, kOurs);
  }
  void decode() {
    start();
    rig.decode();
  }
  void use(unsigned vector, std::uint32_t data) {
    rig.store(kOurs + vector * 16, 8, 0xfee00000);
    rig.store(kOurs + vector * 16 + 8, 8, data);
  }
  AssignedRig rig;
};

TEST_F(MsixRelocation, TheCapabilityNamesABarOfOurs) {
  start();
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_TABLE, 4), 5U);
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_PBA, 4), (kPending - kOurs) | 5U);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_5, 4), kOurs);
  rig.write(PCI_BASE_ADDRESS_5, 4, ~0U);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_5, 4), 0xfffff000U);
  rig.write(FakeVfio::kMsix + PCI_MSIX_TABLE, 4, ~0U);
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_TABLE, 4), 5U);
  EXPECT_EQ(rig.fake.config(FakeVfio::kMsix + PCI_MSIX_TABLE, 4), 0x800U);
}

TEST_F(MsixRelocation, TheDevicesOwnBarsAreMappedWhole) {
  start();
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.fake.take_log(),
              ElementsAre("slot+ 0x800000000+0x4000 cmd=2 d0", "slot+ 0x800004000+0x4000 cmd=2 d0"));
}

TEST_F(MsixRelocation, WithoutABarOfOursThePageTraps) {
  rig.facts.msix_bar.reset();
  rig.ready();
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.fake.take_log(),
              ElementsAre("slot+ 0x800001000+0x3000 cmd=2 d0", "slot+ 0x800004000+0x4000 cmd=2 d0"));
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_TABLE, 4), 0x800U);
}

// A kernel before 4.16.
TEST_F(MsixRelocation, ADriverThatKeepsTheTablesPageIsServed) {
  rig.fake.regions[0].msix_mappable = false;
  start();
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.fake.take_log(),
              ElementsAre("slot+ 0x800001000+0x3000 cmd=2 d0", "slot+ 0x800004000+0x4000 cmd=2 d0"));
  rig.fake.store(0, 0x10, 0x12345678);
  EXPECT_EQ(rig.load(AssignedRig::kHigh + 0x10, 4), 0x12345678U);
}

TEST_F(MsixRelocation, TheTableWorksThere) {
  decode();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  (void)rig.fake.take_log();
  use(1, 0x41);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+"));
  EXPECT_THAT(rig.fake.route_data(), ElementsAre(0x41));
  rig.fake.fire(VFIO_PCI_MSIX_IRQ_INDEX, 2);
  EXPECT_EQ(rig.load(kPending, 8), 4U);
  EXPECT_EQ(rig.load(kOurs + 16, 8), 0xfee00000U);
}

TEST_F(MsixRelocation, WhereTheHardwareHasTheTableTheGuestReachesTheDevice) {
  decode();
  rig.fake.store(0, 0x800, 0x5a5a5a5a);
  EXPECT_EQ(rig.load(AssignedRig::kHigh + 0x800, 4), 0x5a5a5a5aU);
  use(0, 0x41);
  EXPECT_EQ(rig.fake.word(0, 0x800, 4), 0x5a5a5a5aU) << "and its own table stays away from it";
  EXPECT_EQ(rig.fake.word(5, 0, 4), 0U);
}

TEST_F(MsixRelocation, TheRestOfTheBarIsEmpty) {
  decode();
  const auto end = kPending + vfio::msix_pending_length(kEntries);
  rig.store(end, 4, 0x1234);
  rig.store(kOurs + kPageSize - 8, 8, 0x1234);
  EXPECT_EQ(rig.load(end, 4), 0xffffffffU);
  EXPECT_EQ(rig.load(kOurs + kPageSize - 8, 8), ~std::uint64_t{0});
  EXPECT_EQ(rig.load(end - 4, 8), ~std::uint64_t{0}) << "half in it";
  EXPECT_EQ(rig.fake.word(5, end - kOurs, 4), 0U);
}

TEST_F(MsixRelocation, TheBarMovesAndGoesLikeAnother) {
  decode();
  use(0, 0x41);
  rig.write(PCI_BASE_ADDRESS_5, 4, AssignedRig::kLow + 0x20000);
  EXPECT_EQ(rig.load(kOurs + 8, 4), 0xffffffffU);
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x20000 + 8, 4), 0x41U);
  rig.write(PCI_COMMAND, 2, 0);
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x20000 + 8, 4), 0xffffffffU);
  EXPECT_THAT(rig.device->reset_for_reboot(), IsOk());
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_5, 4), kOurs);
  EXPECT_THAT(rig.reports, IsEmpty());
}

TEST_F(MsixRelocation, MoreEntriesThanWereSaidHideMsix) {
  rig.fake.config(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2, 2047);
  rig.fake.config(FakeVfio::kMsix + PCI_MSIX_TABLE, 4, 3);
  rig.fake.regions[3].size = 64 * kKiB;
  rig.facts.bars[1].size = 64 * kKiB;
  rig.fake.config(FakeVfio::kMsix + PCI_MSIX_PBA, 4, 0x8000 | 3);
  rig.fake.irq_counts[VFIO_PCI_MSIX_IRQ_INDEX] = 2048;
  rig.make();
  rig.dma.set({});
  EXPECT_THAT(rig.deliver(), IsOk());
  EXPECT_THAT(rig.reports, testing::Contains(HasSubstr("MSI-X hidden: 2048 entries")));
  EXPECT_EQ(rig.read(FakeVfio::kMsix, 4), 0U);
}

TEST_F(MsixRelocation, ADeviceWithABarWhereOursIsDoesNotReachTheGuest) {
  rig.fake.regions[5] = {.size = kPageSize, .mappable = true};
  decode();
  EXPECT_EQ(rig.load(kOurs + 12, 4), 1U) << "an entry, masked";
  EXPECT_EQ(rig.fake.slots(), 2U);
}

}  // namespace
}  // namespace pcivm::vmm
