// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "tests/vmm/virtio/transport_rig.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::NotingDevice;
using pcivm::test::TransportRig;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint8_t kNeedsReset = VIRTIO_CONFIG_S_NEEDS_RESET;

TEST(VirtioTransport, IsAModernFunctionWithItsStructuresInOneBar) {
  TransportRig rig;
  EXPECT_EQ(rig.config(PCI_VENDOR_ID, 4), 0x10441af4U);
  EXPECT_EQ(rig.config(PCI_CLASS_REVISION, 4), 0x00ff0001U);
  EXPECT_EQ(rig.config(PCI_BASE_ADDRESS_0, 4), 0xc0000004U);
  std::map<unsigned, unsigned> structures;  // type to offset
  unsigned hops = 0;
  for (auto at = rig.config(PCI_CAPABILITY_LIST, 1); at != 0 && hops < 20; at = rig.config(at + 1, 1), ++hops) {
    if (rig.config(at, 1) == PCI_CAP_ID_VNDR) structures[rig.config(at + 3, 1)] = rig.config(at + 8, 4);
  }
  EXPECT_EQ(hops, 6U);
  EXPECT_EQ(structures.size(), 5U);
  EXPECT_EQ(structures[VIRTIO_PCI_CAP_COMMON_CFG], 0U);
  EXPECT_EQ(structures[VIRTIO_PCI_CAP_NOTIFY_CFG], 0x3000U);
}

TEST(VirtioTransport, DecodesItsBarOnlyWhenToldSoAndWhereItMay) {
  TransportRig rig;
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_NUMQ, 2), 0xffffU);
  rig.enable();
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_NUMQ, 2), 2U);
  rig.set_config(PCI_BASE_ADDRESS_0, 4, 0xfee00000);
  EXPECT_EQ(rig.load(0xfee00000, 2), 0xffffU) << "the local APIC's place";
  rig.set_config(PCI_BASE_ADDRESS_0, 4, 0xc1000000);
  EXPECT_EQ(rig.load(0xc1000000 + VIRTIO_PCI_COMMON_NUMQ, 2), 2U);
  rig.set_config(PCI_COMMAND, 2, 0);
  EXPECT_EQ(rig.load(0xc1000000 + VIRTIO_PCI_COMMON_NUMQ, 2), 0xffffU);
}

TEST(VirtioTransport, TellsTheSizeOfItsBar) {
  TransportRig rig;
  rig.set_config(PCI_BASE_ADDRESS_0, 4, 0xffffffff);
  rig.set_config(PCI_BASE_ADDRESS_1, 4, 0xffffffff);
  EXPECT_EQ(rig.config(PCI_BASE_ADDRESS_0, 4), 0xffff8004U);
  EXPECT_EQ(rig.config(PCI_BASE_ADDRESS_1, 4), 0xffffffffU);
  EXPECT_EQ(rig.config(PCI_BASE_ADDRESS_2, 4), 0U);
}

TEST(VirtioTransport, OffersFeaturesInTwoHalvesAndNoMore) {
  TransportRig rig;
  rig.enable();
  std::uint64_t offered = 0;
  for (unsigned half = 0; half < 2; ++half) {
    rig.set_common(VIRTIO_PCI_COMMON_DFSELECT, 4, half);
    offered |= rig.common(VIRTIO_PCI_COMMON_DF, 4) << 32 * half;
  }
  EXPECT_EQ(offered, NotingDevice::describe().features);
  rig.set_common(VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_DF, 4), 0U);
}

TEST(VirtioTransport, StartsTheEnabledQueuesAtDriverOk) {
  TransportRig rig;
  rig.enable();
  rig.negotiate(TransportRig::kFeatures);
  rig.place_queue(1);
  EXPECT_THAT(rig.device->log, IsEmpty());
  EXPECT_THAT(rig.doorbells, IsEmpty());
  rig.set_status(0xf);
  EXPECT_EQ(rig.status(), 0xfU);
  EXPECT_THAT(rig.device->log, ElementsAre("start 1"));
  EXPECT_EQ(rig.device->negotiated, TransportRig::kFeatures);
  EXPECT_EQ(rig.device->started[1].size, 16U);
  EXPECT_EQ(rig.device->started[1].device.value, 0x30000U);
  EXPECT_THAT(rig.doorbells, ElementsAre(TransportRig::kNotify, TransportRig::kNotify + 4));
}

TEST(VirtioTransport, RefusesFeaturesThatWereNotOffered) {
  for (const auto features : {TransportRig::kFeatures | 2, TransportRig::kFeatures | virtio_features::bit(63),
                              TransportRig::kFeatures & ~virtio_features::bit(VIRTIO_F_VERSION_1)}) {
    TransportRig rig;
    rig.enable();
    rig.negotiate(features);
    EXPECT_EQ(rig.status(), 0x3U);
    rig.set_status(0xf);
    EXPECT_EQ(rig.status() & kNeedsReset, kNeedsReset) << "DRIVER_OK without FEATURES_OK";
    EXPECT_THAT(rig.device->log, IsEmpty());
  }
}

TEST(VirtioTransport, KeepsFeaturesAfterFeaturesOk) {
  TransportRig rig;
  rig.enable();
  rig.negotiate(TransportRig::kFeatures);
  rig.set_common(VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
  rig.set_common(VIRTIO_PCI_COMMON_GF, 4, 2);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_GF, 4), TransportRig::kFeatures & 0xffffffff);
}

TEST(VirtioTransport, QueueRegistersAreImmutableOnceEnabledAndAfterDriverOk) {
  TransportRig rig;
  rig.enable();
  rig.negotiate(TransportRig::kFeatures);
  rig.place_queue(0);
  const auto attack = [&rig](unsigned queue) {
    rig.set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
    rig.set_common(VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
    rig.set_common(VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
    for (const auto field : {VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_PCI_COMMON_Q_USEDLO}) {
      rig.set_common(static_cast<unsigned>(field), 8, 0x66660000);
      rig.set_common(static_cast<unsigned>(field), 4, 0x66660000);
      rig.set_common(static_cast<unsigned>(field) + 4, 4, 1);
    }
    rig.set_common(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
  };
  const auto unchanged = [&rig] {
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 8U);
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0U);
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x10000U);
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_AVAILLO, 4), 0x20000U);
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0U);
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1U);
  };
  attack(0);
  unchanged();
  rig.set_status(0xf);
  attack(0);
  unchanged();
  attack(1);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 16U) << "a queue that was not enabled in time stays off";
  rig.set_common(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0U);
  EXPECT_THAT(rig.device->log, ElementsAre("start 0"));
}

TEST(VirtioTransport, TakesNoImpossibleQueueSize) {
  TransportRig rig;
  rig.enable();
  for (const unsigned size : {0U, 9U, 0xffffU}) {
    rig.set_common(VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
    EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 8U);
  }
  rig.set_common(VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 4U);
  rig.set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0U) << "no such queue";
  rig.set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0xffff);
  rig.set_common(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0U);
}

TEST(VirtioTransport, ResetsOneQueueWhichMayThenMove) {
  TransportRig rig;
  rig.run();
  rig.set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
  rig.set_common(0x3a, 2, 1);
  EXPECT_EQ(rig.common(0x3a, 2), 0U);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0U);
  rig.set_common(VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
  rig.place_queue(1, 0x18000);
  EXPECT_THAT(rig.device->log, ElementsAre("start 0", "start 1", "stop 1", "start 1"));
  EXPECT_EQ(rig.device->started[1].size, 4U);
  EXPECT_EQ(rig.device->started[1].descriptors.value, 0x18000U);
  EXPECT_EQ(rig.status(), 0xfU);
}

TEST(VirtioTransport, ResetsNoQueueWithoutTheFeature) {
  TransportRig rig;
  rig.run(TransportRig::kFeatures & ~virtio_features::bit(VIRTIO_F_RING_RESET));
  rig.set_common(0x3a, 2, 1);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1U);
  EXPECT_THAT(rig.device->log, ElementsAre("start 0", "start 1"));
}

TEST(VirtioTransport, ResetStopsAllAndForgetsAll) {
  TransportRig rig;
  rig.run();
  const auto before = rig.device->resets;
  rig.set_status(0);
  EXPECT_EQ(rig.status(), 0U);
  EXPECT_THAT(rig.device->started, IsEmpty());
  EXPECT_EQ(rig.device->resets, before + 1);
  EXPECT_THAT(rig.doorbells, IsEmpty());
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0U);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0U);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffffU);
  rig.run();
  EXPECT_EQ(rig.status(), 0xfU);
}

TEST(VirtioTransport, StatusBitsAreNotTakenBack) {
  TransportRig rig;
  rig.run();
  rig.set_status(1);
  EXPECT_EQ(rig.status(), 0xfU);
  rig.set_status(0xf | kNeedsReset);
  EXPECT_EQ(rig.status(), 0xfU) << "that bit is the device's";
}

TEST(VirtioTransport, QueueThatCannotBeNeedsReset) {
  TransportRig rig;
  rig.enable();
  rig.negotiate(TransportRig::kFeatures);
  rig.place_queue(0);
  rig.place_queue(1, NotingDevice::kRefused);
  rig.set_status(0xf);
  EXPECT_EQ(rig.status(), 0xf | kNeedsReset);
  EXPECT_THAT(rig.device->started, IsEmpty());
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("queue 1: refused")));
}

TEST(VirtioTransport, ReachesNoMemoryWithoutBusMastering) {
  TransportRig rig;
  rig.run();
  rig.set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig.device->started, IsEmpty());
  EXPECT_EQ(rig.status(), 0xf | kNeedsReset);
  rig.set_status(0);
  rig.negotiate(TransportRig::kFeatures);
  rig.set_status(0xf);
  EXPECT_EQ(rig.status(), 0xf | kNeedsReset);
}

TEST(VirtioTransport, DoorbellsFollowTheBar) {
  TransportRig rig;
  rig.run();
  rig.set_config(PCI_BASE_ADDRESS_0, 4, 0xc2000000);
  EXPECT_THAT(rig.doorbells, ElementsAre(0xc2003000, 0xc2003004));
  rig.set_config(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  EXPECT_THAT(rig.doorbells, IsEmpty());
}

TEST(VirtioTransport, ADoorbellThatTrapsRingsAsWell) {
  TransportRig rig;
  rig.run();
  rig.store(TransportRig::kNotify + 4, 2, 1);
  EXPECT_EQ(drain_eventfd(rig.signals->doorbell(0)), 0U);
  EXPECT_EQ(drain_eventfd(rig.signals->doorbell(1)), 1U);
  rig.store(TransportRig::kNotify + 8, 2, 2);
  rig.store(TransportRig::kNotify + 2, 2, 2);
  EXPECT_EQ(drain_eventfd(rig.signals->doorbell(0)), 0U);
}

TEST(VirtioTransport, InterruptsByTheLineWithoutMsix) {
  TransportRig rig;
  rig.run();
  rig.signals->interrupt(1);
  EXPECT_TRUE(rig.line.asserted);
  EXPECT_EQ(rig.config(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
  EXPECT_EQ(rig.load(TransportRig::kIsr, 1), 1U);
  EXPECT_FALSE(rig.line.asserted);
  EXPECT_EQ(rig.load(TransportRig::kIsr, 1), 0U);
  rig.signals->config_changed();
  rig.set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
  EXPECT_FALSE(rig.line.asserted);
  rig.enable();
  EXPECT_TRUE(rig.line.asserted);
  EXPECT_EQ(rig.load(TransportRig::kIsr, 1), 2U);
}

TEST(VirtioTransport, InterruptsByMsixRouteBeforeIrqfd) {
  TransportRig rig;
  rig.use_msix();
  rig.run();
  EXPECT_THAT(rig.irqfds, IsEmpty()) << "masked at first";
  rig.unmask(0);
  EXPECT_EQ(rig.irqfds.size(), 1U);
  EXPECT_EQ(rig.routes, 1U);
  ASSERT_TRUE(rig.signals->interrupt_event(0));
  rig.signals->interrupt(0);
  EXPECT_EQ(drain_eventfd(*rig.signals->interrupt_event(0)), 1U);
  EXPECT_FALSE(rig.line.asserted);
}

TEST(VirtioTransport, KeepsWhatIsSignalledWhileMasked) {
  TransportRig rig;
  rig.use_msix();
  rig.run();
  rig.unmask(1);
  rig.store(TransportRig::kTable + 16 + 12, 4, 1);
  EXPECT_THAT(rig.irqfds, IsEmpty());
  rig.signals->interrupt(1);
  EXPECT_EQ(rig.load(TransportRig::kBar + 0x6000, 4), 2U) << "pending bits";
  rig.store(TransportRig::kTable + 16 + 12, 4, 0);
  EXPECT_EQ(rig.irqfds.size(), 1U) << "where KVM finds the signal";
}

TEST(VirtioTransport, NobodyIsInterruptedWithoutAVector) {
  TransportRig rig;
  rig.use_msix();
  rig.enable();
  rig.negotiate(TransportRig::kFeatures);
  rig.place_queue(0);
  rig.place_queue(1);
  rig.set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
  rig.set_status(0xf);
  EXPECT_TRUE(rig.signals->interrupt_event(0));
  TransportRig other;
  other.use_msix();
  other.enable();
  other.set_common(VIRTIO_PCI_COMMON_Q_MSIX, 2, 3);
  EXPECT_EQ(other.common(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffffU) << "there are three vectors";
  EXPECT_FALSE(other.signals->interrupt_event(0));
  other.signals->interrupt(0);
  EXPECT_FALSE(other.line.asserted);
}

TEST(VirtioTransport, BrokenDriverIsToldOnceAndReportsAreLimited) {
  TransportRig rig;
  for (int round = 0; round < 100; ++round) {
    rig.run();
    rig.signals->broken(Error::make(Errc::invalid, "nonsense"));
    rig.signals->broken(Error::make(Errc::invalid, "nonsense"));
    EXPECT_EQ(rig.status(), 0xf | kNeedsReset);
    rig.set_status(0);
  }
  EXPECT_EQ(rig.reports.size(), 17U);
}

TEST(VirtioTransport, BarCanBeReachedThroughConfigurationSpace) {
  TransportRig rig;
  const unsigned window = 0x90;
  ASSERT_EQ(rig.config(window + 3, 1), unsigned{VIRTIO_PCI_CAP_PCI_CFG});
  rig.set_config(window + 4, 1, 0);
  rig.set_config(window + 8, 4, VIRTIO_PCI_COMMON_NUMQ);
  rig.set_config(window + 12, 4, 2);
  EXPECT_EQ(rig.config(window + 16, 2), 2U);
  EXPECT_EQ(rig.config(window + 16, 4), 0U) << "the length says 2";
  rig.set_config(window + 8, 4, VIRTIO_PCI_COMMON_Q_SELECT);
  rig.set_config(window + 16, 2, 1);
  rig.enable();
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_SELECT, 2), 1U);
  for (const auto& [bar, offset, length] :
       {std::array{1U, 0U, 4U}, std::array{0U, 0x8000U, 4U}, std::array{0U, 0xfffffffcU, 4U}, std::array{0U, 2U, 4U}}) {
    rig.set_config(window + 4, 1, bar);
    rig.set_config(window + 8, 4, offset);
    rig.set_config(window + 12, 4, length);
    EXPECT_EQ(rig.config(window + 16, 4), 0U);
    rig.set_config(window + 16, 4, 1);
  }
}

TEST(VirtioTransport, FieldsAreReachedInTheirOwnWidthOnly) {
  TransportRig rig;
  rig.enable();
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_NUMQ, 1), 0xffU);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_NUMQ, 4), 0xffffffffU);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_NUMQ + 1, 2), 0xffffU);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_STATUS, 2), 0xffffU);
  rig.set_common(VIRTIO_PCI_COMMON_STATUS, 2, 1);
  EXPECT_EQ(rig.status(), 0U);
  rig.set_common(VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x11111000);
  rig.set_common(VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0x22222222);
  EXPECT_EQ(rig.common(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x2222222211111000U);
}

TEST(VirtioTransport, DeviceConfigurationEndsWhereItEnds) {
  TransportRig rig;
  rig.enable();
  rig.store(TransportRig::kDevice + 4, 4, 0x12345678);
  EXPECT_EQ(rig.load(TransportRig::kDevice + 4, 4), 0x12345678U);
  EXPECT_EQ(rig.load(TransportRig::kDevice + 5, 4), 0xffffffffU);
  rig.store(TransportRig::kDevice + 7, 2, 0);
  EXPECT_EQ(rig.load(TransportRig::kDevice + 7, 1), 0x12U);
  EXPECT_EQ(rig.load(TransportRig::kDevice + 8, 1), 0xffU);
}

TEST(VirtioTransport, RebootLeavesNothingInKvmAndTheBarWhereItWas) {
  TransportRig rig;
  rig.use_msix();
  rig.run();
  rig.unmask(0);
  rig.set_config(PCI_BASE_ADDRESS_0, 4, 0xc3000000);
  rig.transport->reset();
  EXPECT_THAT(rig.irqfds, IsEmpty());
  EXPECT_THAT(rig.doorbells, IsEmpty());
  EXPECT_EQ(rig.routes, 0U);
  EXPECT_EQ(rig.config(PCI_BASE_ADDRESS_0, 4), TransportRig::kBar | 4);
  EXPECT_EQ(rig.config(PCI_COMMAND, 2), 0U);
  EXPECT_EQ(rig.config(0x42, 2), 2U);
  rig.run();
  EXPECT_EQ(rig.status(), 0xfU);
}

}  // namespace
}  // namespace pcivm::vmm
