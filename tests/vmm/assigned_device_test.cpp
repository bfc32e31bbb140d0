// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include <chrono>
#include <thread>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/assigned_rig.hpp"

namespace pcivm::vmm {
namespace {

using test::AssignedRig;
using test::FailsWith;
using test::FakeVfio;
using test::IsOk;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr auto kHigh = AssignedRig::kHigh;

TEST(AssignedDevice, IsOpenedWithoutAResetOfItsOwn) {
  AssignedRig rig;
  rig.make();
  EXPECT_THAT(rig.deliver(), IsOk());
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("get device 0000:01:10.0", "irq 4 0: own", "irq 3 0: own"));
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0x10ca8086U);
}

TEST(AssignedDevice, ConfigurationReadWaitsForTheOpener) {
  AssignedRig rig;
  rig.make();
  std::jthread opener{[&] {
    std::this_thread::sleep_for(std::chrono::milliseconds{30});
    (void)rig.deliver();
  }};
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0x10ca8086U);
}

TEST(AssignedDevice, ReadsAllOnesWhenTheOpenerFailed) {
  AssignedRig rig;
  rig.make();
  EXPECT_THAT(rig.device->deliver(fail(Errc::busy, "held")), FailsWith(Errc::busy, "held"));
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0xffffffffU);
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_EQ(rig.fake.slots(), 0U);
}

TEST(AssignedDevice, GoesOnWhenItsDeviceDies) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  ASSERT_GT(rig.fake.slots(), 0U);
  rig.fake.fail[VFIO_DEVICE_SET_IRQS] = EIO;
  rig.fake.fail[VFIO_DEVICE_RESET] = EIO;
  const auto use = [&] {
    EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0xffffffffU);
    rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
    rig.set_message(0, 0x4041);
    rig.mask(0, false);
    rig.write(FakeVfio::kPm + PCI_PM_CTRL, 2, 3);
    rig.write(FakeVfio::kPm + PCI_PM_CTRL, 2, 0);
    rig.write(PCI_BASE_ADDRESS_0, 4, 0xc0000000);
    rig.write(FakeVfio::kExpress + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
  };
  rig.fake.die();
  use();
  rig.fake.vanish();
  use();
  EXPECT_EQ(rig.load(AssignedRig::kHigh, 4), 0xffffffffU) << "no BAR decodes any more";
  EXPECT_THAT(rig.device->reset_for_reboot(), FailsWith(Errc::kernel));
  rig.device->release();
  EXPECT_EQ(rig.fake.slots(), 0U);
  EXPECT_LE(rig.reports.size(), 21U);
}

TEST(AssignedDevice, RefusesADeviceWhoseBarIsNotTheOneOfSysfs) {
  AssignedRig rig;
  rig.fake.regions[0].size = 32 * kKiB;
  rig.make();
  EXPECT_THAT(rig.deliver(), FailsWith(Errc::kernel, HasSubstr("0000:01:10.0: BAR 0 has 0x8000 bytes")));
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0xffffffffU);
}

TEST(AssignedDevice, MapsBarsWithoutTheMsixPagesAfterDecodeIsOn) {
  AssignedRig rig;
  rig.ready();
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("slot+ 0x800000000+0x4000 cmd=2 d0", "slot+ 0x800005000+0x1000 cmd=2 d0",
                                               "slot+ 0x800007000+0x1000 cmd=2 d0"));
}

TEST(AssignedDevice, UnmapsBeforeDecodeGoesOff) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_COMMAND, 1, 0);
  EXPECT_THAT(rig.fake.take_log(),
              ElementsAre("slot- 0x800000000 cmd=2 d0", "slot- 0x800005000 cmd=2 d0", "slot- 0x800007000 cmd=2 d0"));
  EXPECT_EQ(rig.load(kHigh, 4), 0xffffffffU);
}

TEST(AssignedDevice, CommandTakesWritesOfOneTwoAndFourBytes) {
  for (const unsigned width : {1U, 2U, 4U}) {
    AssignedRig rig;
    rig.ready();
    rig.write(PCI_COMMAND, width, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    EXPECT_EQ(rig.read(PCI_COMMAND, 2), 6U) << width;
    EXPECT_EQ(rig.fake.slots(), 3U) << width;
  }
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_COMMAND + 1, 1, PCI_COMMAND_INTX_DISABLE >> 8U);
  EXPECT_EQ(rig.read(PCI_COMMAND, 2), 0x402U);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
}

TEST(AssignedDevice, SameCommandAgainChangesNothing) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
}

TEST(AssignedDevice, LeavesTheGuestBeforeD3AndComesBackAfterD0) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(FakeVfio::kPm + PCI_PM_CTRL, 2, 3);
  EXPECT_THAT(rig.fake.take_log(), testing::Each(HasSubstr("cmd=2 d0")));
  EXPECT_EQ(rig.fake.slots(), 0U);
  rig.write(FakeVfio::kPm + PCI_PM_CTRL, 2, 0);
  EXPECT_THAT(rig.fake.take_log(), testing::AllOf(SizeIs(3), testing::Each(HasSubstr("cmd=2 d0"))));
  EXPECT_EQ(rig.fake.slots(), 3U);
}

TEST(AssignedDevice, SizesBothHalvesOfA64BitBar) {
  AssignedRig rig;
  rig.ready();
  rig.write(PCI_BASE_ADDRESS_0, 4, 0xffffffff);
  rig.write(PCI_BASE_ADDRESS_1, 4, 0xffffffff);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_0, 4), 0xffffc00cU);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_1, 4), 0xffffffffU);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_2, 4), 0U);
  EXPECT_EQ(rig.fake.config(PCI_BASE_ADDRESS_0, 4), 0U) << "a BAR write reached the device";
}

TEST(AssignedDevice, BarWrittenByteByByteKeepsItsOtherBytes) {
  AssignedRig rig;
  rig.ready();
  rig.write(PCI_BASE_ADDRESS_0, 4, 0xc0000000);
  rig.write(PCI_BASE_ADDRESS_0 + 2, 1, 0x12);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_0, 4), 0xc012000cU);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_0 + 2, 2), 0xc012U);
}

TEST(AssignedDevice, BarMovesWhileDecodeIsOn) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_BASE_ADDRESS_0, 4, 0x00100000);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("slot- 0x800000000 cmd=2 d0", "slot+ 0x800100000+0x4000 cmd=2 d0"));
}

TEST(AssignedDevice, BarsSwapPlacesAllOutThenAllIn) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_COMMAND, 2, 0);
  rig.write(PCI_BASE_ADDRESS_0, 4, 0x4000);
  rig.write(PCI_BASE_ADDRESS_3, 4, 0x0000);
  (void)rig.fake.take_log();
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("slot+ 0x800004000+0x4000 cmd=2 d0", "slot+ 0x800001000+0x1000 cmd=2 d0",
                                               "slot+ 0x800003000+0x1000 cmd=2 d0"));
  EXPECT_THAT(rig.reports, IsEmpty());
}

TEST(AssignedDevice, KeepsAnImpossibleAddressInTheRegisterAndMapsNothing) {
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{0x1000000}, std::uint64_t{0xfee00000},
                                      std::uint64_t{0xfec00000}, std::uint64_t{0xffffffffffffc000}}) {
    AssignedRig rig;
    rig.ready();
    rig.decode();
    rig.write(PCI_BASE_ADDRESS_1, 4, static_cast<std::uint32_t>(address >> 32U));
    rig.write(PCI_BASE_ADDRESS_0, 4, static_cast<std::uint32_t>(address));
    EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_0, 4) & ~0xfU, static_cast<std::uint32_t>(address) & ~0x3fffU);
    EXPECT_EQ(rig.fake.slot_ranges().count(address), 0U);
    EXPECT_EQ(rig.fake.slots(), 2U) << "the other BAR stays";
    rig.write(PCI_BASE_ADDRESS_1, 4, kHigh >> 32U);
    rig.write(PCI_BASE_ADDRESS_0, 4, static_cast<std::uint32_t>(kHigh));
    EXPECT_EQ(rig.fake.slots(), 3U) << "usable again";
  }
}

TEST(AssignedDevice, BarOverAnotherOneIsReportedAndLeftOut) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_BASE_ADDRESS_0, 4, 0x4000);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("overlaps 0000:01:10.0 BAR 3")));
  EXPECT_EQ(rig.fake.slots(), 2U);
}

TEST(AssignedDevice, BusMasterWaitsUntilDmaIsMapped) {
  AssignedRig rig;
  rig.make();
  ASSERT_THAT(rig.deliver(), IsOk());
  std::atomic<bool> written{false};
  std::jthread guest{[&] {
    rig.write(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    written = true;
  }};
  std::this_thread::sleep_for(std::chrono::milliseconds{30});
  EXPECT_FALSE(written);
  EXPECT_EQ(rig.fake.config(PCI_COMMAND, 2), 0U);
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 2), 0x8086U) << "other accesses go on";
  rig.dma.set({});
  guest.join();
  EXPECT_EQ(rig.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MASTER);
}

TEST(AssignedDevice, BusMasterStaysOffWhenDmaCannotBeMapped) {
  AssignedRig rig;
  rig.make();
  ASSERT_THAT(rig.deliver(), IsOk());
  rig.dma.set(fail(Errc::denied, "memlock"));
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
  EXPECT_EQ(rig.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("bus mastering stays off")));
}

TEST(AssignedDevice, FunctionLevelResetByTheGuestTakesEverythingAway) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.set_message(0, 0x31);
  rig.mask(0, false);
  (void)rig.fake.take_log();
  rig.write(FakeVfio::kExpress + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
  const auto log = rig.fake.take_log();
  EXPECT_THAT(
      log, ElementsAre("irqfd-", "irq 2 off", "routes 0", HasSubstr("slot-"), HasSubstr("slot-"), HasSubstr("slot-")));
  EXPECT_EQ(rig.fake.config(FakeVfio::kExpress + PCI_EXP_DEVCTL, 2), PCI_EXP_DEVCTL_BCR_FLR) << "VFIO does the reset";
  EXPECT_EQ(rig.read(PCI_COMMAND, 2), 0U);
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_0, 4), 0xcU);
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2), 2U);
}

TEST(AssignedDevice, RebootResetsOnceAndPutsTheBarsBack) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.write(PCI_BASE_ADDRESS_0, 4, 0x00100000);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  (void)rig.fake.take_log();
  EXPECT_THAT(rig.device->reset_for_reboot(), IsOk());
  EXPECT_THAT(rig.fake.take_log(),
              ElementsAre("irq 2 off", HasSubstr("slot-"), HasSubstr("slot-"), HasSubstr("slot-"), "reset"));
  EXPECT_EQ(rig.read(PCI_COMMAND, 2), 0U);
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_EQ(rig.fake.slot_ranges().count(kHigh), 1U);
}

TEST(AssignedDevice, ReleaseTakesIrqfdsThenInterruptsThenSlots) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.set_message(1, 0x32);
  rig.mask(1, false);
  (void)rig.fake.take_log();
  rig.device->release();
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irqfd-", "irq 2 off", "routes 0", HasSubstr("slot-"),
                                               HasSubstr("slot-"), HasSubstr("slot-")));
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0xffffffffU);
  rig.device->release();
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
}

TEST(AssignedDevice, ReleaseFreesWhoeverWaitsForTheOpener) {
  AssignedRig rig;
  rig.make();
  std::jthread guest{[&] { EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0xffffffffU); }};
  std::this_thread::sleep_for(std::chrono::milliseconds{10});
  rig.device->release();
  guest.join();
  EXPECT_THAT(rig.deliver(), IsOk());
  EXPECT_EQ(rig.read(PCI_VENDOR_ID, 4), 0xffffffffU) << "a late delivery changes nothing";
}

TEST(AssignedDevice, TrapsABarSmallerThanAPage) {
  AssignedRig rig;
  rig.facts.bars = {{.index = 2, .address = 0, .size = 256, .io = false, .wide = false, .prefetchable = false}};
  rig.fake.regions[2] = {.size = 256, .mappable = true};
  rig.fake.store(2, 0x10, 0xcafe0123);
  rig.make();
  rig.device->place_bar(2, AssignedRig::kLow + 0x300);
  rig.dma.set({});
  ASSERT_THAT(rig.deliver(), IsOk());
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_EQ(rig.fake.slots(), 0U);
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x310, 4), 0xcafe0123U);
  rig.store(AssignedRig::kLow + 0x3fc, 4, 0x55aa);
  EXPECT_EQ(rig.fake.word(2, 0xfc, 4), 0x55aaU);
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x3fc, 8), ~std::uint64_t{0}) << "leaves the BAR";
}

TEST(AssignedDevice, TrapsAnIoBarOnThePortBus) {
  AssignedRig rig;
  rig.facts.bars = {{.index = 4, .address = 0, .size = 32, .io = true, .wide = false, .prefetchable = false}};
  rig.fake.regions[4] = {.size = 32};
  rig.fake.store(4, 8, 0x12345678);
  rig.make();
  rig.device->place_bar(4, 0xc000);
  rig.dma.set({});
  ASSERT_THAT(rig.deliver(), IsOk());
  EXPECT_EQ(rig.read(PCI_BASE_ADDRESS_4, 4), 0xc001U);
  std::array<std::byte, 4> data{};
  EXPECT_FALSE(rig.ports.read(0xc008, data));
  rig.write(PCI_COMMAND, 2, PCI_COMMAND_IO);
  EXPECT_TRUE(rig.ports.read(0xc008, data));
  EXPECT_EQ(load_le(data), 0x12345678U);
  rig.write(PCI_BASE_ADDRESS_4, 4, 0x60);
  EXPECT_FALSE(rig.ports.read(0x60, data)) << "the chipset's ports are not for BARs";
}

TEST(AssignedDevice, PassesTheRestOfTheMsixPageToTheDevice) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  rig.fake.store(3, 0x800, 0xfeedbeef);
  EXPECT_EQ(rig.load(AssignedRig::kTable + 0x800, 4), 0xfeedbeefU);
  rig.store(AssignedRig::kTable + 0x804, 4, 7);
  EXPECT_EQ(rig.fake.word(3, 0x804, 4), 7U);
}

TEST(AssignedDevice, HidesWhatTheGuestMustNotHave) {
  AssignedRig rig;
  rig.fake.config(PCI_HEADER_TYPE, 1, 0x80);
  rig.fake.config(PCI_INTERRUPT_PIN, 1, 1);
  rig.fake.config(PCI_ROM_ADDRESS, 4, 0xfff80001);
  rig.ready();
  EXPECT_EQ(rig.read(PCI_HEADER_TYPE, 1), 0U);
  EXPECT_EQ(rig.read(PCI_INTERRUPT_PIN, 1), 0U);
  rig.write(PCI_ROM_ADDRESS, 4, 0xffffffff);
  EXPECT_EQ(rig.read(PCI_ROM_ADDRESS, 4), 0U);
  EXPECT_EQ(rig.fake.config(PCI_ROM_ADDRESS, 4), 0xfff80001U);
}

TEST(AssignedDevice, ShowsARomWhereItsRegisterSays) {
  AssignedRig rig;
  rig.facts.rom.assign(5000, std::byte{0x5a});
  rig.ready();
  rig.decode();
  rig.write(PCI_ROM_ADDRESS, 4, 0xfffff800);
  EXPECT_EQ(rig.read(PCI_ROM_ADDRESS, 4), 0xffffe000U) << "8 KiB, not enabled";
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
  rig.write(PCI_ROM_ADDRESS, 4, AssignedRig::kLow + 0x10000 + PCI_ROM_ADDRESS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("slot+ 0xc0010000+0x2000 cmd=2 d0"));
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x10000 + 4996, 8), 0xffffffff5a5a5a5aU);
  rig.store(AssignedRig::kLow + 0x10000, 4, 0);
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x10000, 4), 0x5a5a5a5aU);
  rig.write(PCI_COMMAND, 2, 0);
  EXPECT_THAT(rig.fake.take_log(), Contains("slot- 0xc0010000 cmd=2 d0"));
  EXPECT_EQ(rig.load(AssignedRig::kLow + 0x10000, 4), 0xffffffffU);
  EXPECT_THAT(rig.device->reset_for_reboot(), IsOk());
  EXPECT_EQ(rig.read(PCI_ROM_ADDRESS, 4), 0U);
}

TEST(AssignedDevice, ReadsItsOwnRomWhenToldSo) {
  AssignedRig rig;
  rig.facts.own_rom = true;
  rig.fake.regions[6] = {.size = 2 * kKiB};
  rig.fake.store(6, 0, 0x1234aa55);
  rig.ready();
  EXPECT_EQ(rig.fake.config(PCI_COMMAND, 2), 0U) << "decode is on while it is read only";
  rig.decode();
  rig.write(PCI_ROM_ADDRESS, 4, AssignedRig::kLow + PCI_ROM_ADDRESS_ENABLE);
  EXPECT_EQ(rig.load(AssignedRig::kLow, 4), 0x1234aa55U);
}

TEST(AssignedDevice, GoesOnWithoutARomThatCannotBeRead) {
  for (const std::uint64_t size : {std::uint64_t{0}, 32 * kMiB}) {
    AssignedRig rig;
    rig.facts.own_rom = true;
    rig.fake.regions[6] = {.size = size};
    rig.ready();
    EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("ROM"))) << size;
    rig.write(PCI_ROM_ADDRESS, 4, 0xffffffff);
    EXPECT_EQ(rig.read(PCI_ROM_ADDRESS, 4), 0U);
  }
}

TEST(AssignedDevice, AccessesThatCrossADwordReadAllOnesAndWriteNothing) {
  AssignedRig rig;
  rig.ready();
  EXPECT_EQ(rig.read(3, 2), 0xffffU);
  rig.write(PCI_COMMAND + 3, 2, 0xffff);
  EXPECT_EQ(rig.fake.config(8, 4), 0x02000001U);
}

TEST(AssignedDevice, LimitsWhatAGuestCanMakeItReport) {
  AssignedRig rig;
  rig.ready();
  rig.decode();
  for (unsigned round = 0; round < 100; ++round) {
    rig.write(PCI_BASE_ADDRESS_0, 4, 0x4000);
    rig.write(PCI_BASE_ADDRESS_0, 4, 0x0000);
  }
  EXPECT_THAT(rig.reports, SizeIs(21));
  EXPECT_THAT(rig.reports.back(), HasSubstr("left out"));
}

class AssignedPeers : public testing::Test {
 protected:
  AssignedPeers() {
    rig.wiring.peers = PeerMapping{.map = [this](const vfio::DmaRun& run) -> Result<void> {
                                     ++asked;
                                     if (refuse) return fail(Errc::kernel, "IOMMU_IOAS_MAP: EFAULT");
                                     mapped[run.iova.value] = run.length;
                                     return {};
                                   },
                                   .unmap = [this](Iova iova, std::uint64_t length) -> Result<void> {
                                     EXPECT_EQ(mapped.at(iova.value), length);
                                     mapped.erase(iova.value);
                                     return {};
                                   }};
    rig.ready();
  }
  AssignedRig rig;
  std::map<std::uint64_t, std::uint64_t> mapped;
  unsigned asked{};
  bool refuse{};
};

TEST_F(AssignedPeers, ReachWhatTheGuestHasMapped) {
  EXPECT_THAT(mapped, IsEmpty());
  rig.decode();
  EXPECT_EQ(mapped, rig.fake.slot_ranges()) << "so neither the MSI-X table nor the pending bits";
  EXPECT_FALSE(mapped.empty());
  rig.write(PCI_BASE_ADDRESS_0, 4, 0xc0000000);
  rig.write(PCI_BASE_ADDRESS_1, 4, 0);
  EXPECT_EQ(mapped, rig.fake.slot_ranges());
  EXPECT_TRUE(mapped.contains(0xc0000000));
  rig.write(PCI_COMMAND, 2, 0);
  EXPECT_THAT(mapped, IsEmpty());
  rig.decode();
  rig.device->release();
  EXPECT_THAT(mapped, IsEmpty());
}

TEST_F(AssignedPeers, AKernelThatRefusesIsAskedOnce) {
  refuse = true;
  for (int count = 0; count < 3; ++count) {
    rig.decode();
    EXPECT_FALSE(rig.fake.slot_ranges().empty()) << "the guest has them all the same";
    rig.write(PCI_COMMAND, 2, 0);
  }
  EXPECT_EQ(asked, 1U);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("other devices of the VM do not reach it")));
}

}  // namespace
}  // namespace pcivm::vmm
