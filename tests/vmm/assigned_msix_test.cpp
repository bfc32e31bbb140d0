// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

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

constexpr unsigned kMsixIrq = VFIO_PCI_MSIX_IRQ_INDEX;

class AssignedMsix : public testing::Test {
 protected:
  void start() {
    rig.ready();
    rig.decode();
  }
  /// So many that each gets its host interrupt when it is unmasked.
  void start_large() {
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2, 31);
    rig.fake.irq_counts[kMsixIrq] = 32;
    start();
  }
  /// Enabled as Linux does it, vector 0..count-1 in use.
  void start_with(unsigned count) {
    start();
    rig.msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
    for (unsigned vector = 0; vector < count; ++vector) {
      rig.set_message(vector, 0x30 + vector);
      rig.mask(vector, false);
    }
    (void)rig.fake.take_log();
  }
  AssignedRig rig;
};

TEST_F(AssignedMsix, EveryVectorIsMaskedAtFirst) {
  start();
  for (unsigned vector = 0; vector < 3; ++vector) {
    EXPECT_EQ(rig.load(AssignedRig::kTable + vector * 16 + 12, 4), 1U);
    EXPECT_EQ(rig.load(AssignedRig::kTable + vector * 16, 8), 0U);
  }
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2), 2U);
}

TEST_F(AssignedMsix, AFewVectorsAreWiredWhenEnabledAndRoutedWhenUnmasked) {
  start();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own own own"));
  rig.set_message(2, 0x41);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty()) << "a masked entry costs nothing";
  rig.mask(2, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+"));
}

TEST_F(AssignedMsix, InterruptBeforeTheFirstUnmaskIsPendingAndDelivered) {
  start();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.fake.fire(kMsixIrq, 1);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 2U);
  rig.set_message(1, 0x41);
  rig.mask(1, false);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 0U);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(kMsixIrq, 1)}), 1U) << "for KVM";
  rig.fake.fire(kMsixIrq, 2);
  rig.set_message(2, 0x42);
  rig.mask(2, false);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(kMsixIrq, 2)}), 1U) << "KVM looks there when it gets the irqfd";
}

TEST_F(AssignedMsix, HostWithTooFewVectorsForAllGivesThemOneByOne) {
  start();
  rig.fake.most_vectors = 1;
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("the host has interrupts for 1 of them")));
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own"));
  rig.set_message(2, 0x41);
  rig.mask(2, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+", "irq 2 2: guest"));
}

TEST_F(AssignedMsix, ManyVectorsAreEnabledWithVectorZero) {
  start_large();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own"));
  EXPECT_EQ(rig.device->vectors()->used, 1U);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
  EXPECT_EQ(rig.fake.config(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2), 31U) << "the enable bit is VFIO's";
  EXPECT_EQ(rig.read(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2), 0x801fU);
}

TEST_F(AssignedMsix, VectorZeroHasItsHostInterruptAlready) {
  start_large();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.fake.fire(kMsixIrq, 0);
  (void)rig.fake.take_log();
  rig.set_message(0, 0x41);
  rig.mask(0, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+"));
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(kMsixIrq, 0)}), 1U) << "KVM looks there when it gets the irqfd";
}

TEST_F(AssignedMsix, AddsAVectorWhenItIsUnmaskedRouteBeforeIrqfd) {
  start_large();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  (void)rig.fake.take_log();
  rig.set_message(2, 0x41);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty()) << "a masked entry costs nothing";
  rig.mask(2, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+", "irq 2 2: guest"));
}

TEST_F(AssignedMsix, UnchangedWritesCostNothing) {
  start_with(3);
  rig.set_message(1, 0x31);
  rig.mask(1, false);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
}

TEST_F(AssignedMsix, MaskSwitchesOnlyTheTriggerAndUnmaskSwitchesItBack) {
  start_with(1);
  rig.mask(0, true);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own"));
  EXPECT_EQ(rig.fake.irqfds(), 1U);
  rig.mask(0, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: guest"));
}

TEST_F(AssignedMsix, NewMessageWhileMaskedIsOneRouteMore) {
  start_with(1);
  rig.mask(0, true);
  (void)rig.fake.take_log();
  rig.set_message(0, 0x77);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
  rig.mask(0, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irq 2 0: guest"));
  EXPECT_EQ(rig.fake.irqfds(), 1U);
}

TEST_F(AssignedMsix, RouteThatKvmRefusesLaterTakesItsIrqfdAlong) {
  start_with(1);
  rig.mask(0, true);
  rig.set_message(0, 0x77);
  (void)rig.fake.take_log();
  rig.fake.fail[kvm::set_gsi_routing.number] = EINVAL;
  rig.mask(0, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irqfd-"));
  EXPECT_FALSE(rig.reports.empty());
  rig.fake.fail.clear();
  rig.set_message(0, 0x78);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+", "irq 2 0: guest")) << "tried again";
}

TEST_F(AssignedMsix, InterruptWhileMaskedIsPendingAndDeliveredAtUnmask) {
  start_with(2);
  rig.mask(1, true);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 0U);
  rig.fake.fire(kMsixIrq, 1);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 2U);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 4), 2U);
  rig.mask(1, false);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 0U);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(kMsixIrq, 1)}), 1U) << "KVM was signalled";
}

TEST_F(AssignedMsix, FunctionMaskIsOneCallForAllVectors) {
  start_with(3);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own own own"));
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: guest guest guest"));
}

TEST_F(AssignedMsix, EnablingWithUnmaskedEntriesIsOneBatch) {
  start();
  for (unsigned vector = 0; vector < 3; ++vector) {
    rig.set_message(vector, 0x30 + vector);
    rig.mask(vector, false);
  }
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 3", "irqfd+", "irqfd+", "irqfd+", "irq 2 0: guest guest guest"));
}

TEST_F(AssignedMsix, OldKernelsAreDisabledAndEnabledAgainToAddAVector) {
  rig.fake.fixed_count = true;
  start_large();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.set_message(0, 0x30);
  rig.mask(0, false);
  (void)rig.fake.take_log();
  rig.set_message(2, 0x32);
  rig.mask(2, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 2", "irqfd+", "irq 2 off", "irq 2 0: guest -1 guest"));
}

TEST_F(AssignedMsix, DisableGivesUpWhatVfioSignalsAndNothingElse) {
  start_with(2);
  rig.msix_control(0);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 off"));
  EXPECT_EQ(rig.load(AssignedRig::kTable + 8, 4), 0x30U) << "the table survives";
  EXPECT_EQ(rig.device->vectors()->used, 0U);
}

TEST_F(AssignedMsix, EnabledAgainItIsOneCallForWhatDidNotChange) {
  start_with(3);
  rig.msix_control(0);
  (void)rig.fake.take_log();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: guest guest guest"));
}

TEST_F(AssignedMsix, EnabledAgainAMaskedVectorInterruptsNobody) {
  start_with(2);
  rig.msix_control(0);
  rig.mask(1, true);
  (void)rig.fake.take_log();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: guest own own"));
  rig.fake.fire(kMsixIrq, 1);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 2U);
  rig.mask(1, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 1: guest"));
}

TEST_F(AssignedMsix, ANewMessageWhileDisabledIsOneRouteMore) {
  start_with(2);
  rig.msix_control(0);
  rig.set_message(0, 0x77);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 off"));
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 2", "irq 2 0: guest guest own"));
}

TEST_F(AssignedMsix, ADriverThatStartsTwiceSetsItsFirstVectorUpOnce) {
  start_large();
  const auto enable = [this] {
    rig.msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
    rig.set_message(0, 0x30);
    rig.mask(0, false);
  };
  enable();
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own", "routes 1", "irqfd+"));
  rig.mask(0, true);
  rig.msix_control(0);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own", "irq 2 off"));
  enable();
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own", "irq 2 0: guest"));
}

TEST_F(AssignedMsix, WhatWasPendingWhenItWasDisabledIsLost) {
  start_with(1);
  rig.mask(0, true);
  rig.fake.fire(kMsixIrq, 0);
  rig.fake.fire(kMsixIrq, 2);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 5U);
  rig.fake.fire(kMsixIrq, 0);
  rig.fake.fire(kMsixIrq, 2);
  rig.msix_control(0);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 0U);
  rig.mask(0, false);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(kMsixIrq, 0)}), 0U);
}

TEST_F(AssignedMsix, RouteThatKvmRefusesWhenEnabledAgainTakesItsIrqfdAlong) {
  start_with(2);
  rig.msix_control(0);
  rig.set_message(1, 0x77);
  (void)rig.fake.take_log();
  rig.fake.fail[kvm::set_gsi_routing.number] = EINVAL;
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irqfd-", "irq 2 0: guest own own"));
  EXPECT_FALSE(rig.reports.empty());
}

TEST_F(AssignedMsix, AHostThatHasNoVectorsTheSecondTimeIsAskedAgainAtTheNextUnmask) {
  start_with(1);
  rig.msix_control(0);
  rig.fake.no_vectors = ENOSPC;
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_FALSE(rig.reports.empty());
  EXPECT_EQ(rig.device->vectors()->used, 0U);
  rig.fake.no_vectors = 0;
  rig.mask(0, true);
  (void)rig.fake.take_log();
  rig.mask(0, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: guest"));
}

TEST_F(AssignedMsix, AResetReleasesEverythingIrqfdsFirst) {
  start_with(2);
  EXPECT_THAT(rig.device->reset_for_reboot(), IsOk());
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irqfd-", "irqfd-", "irq 2 off", "routes 0", HasSubstr("slot-"),
                                               HasSubstr("slot-"), HasSubstr("slot-"), "reset"));
  rig.decode();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 2 0: own own own")) << "as at first";
}

TEST_F(AssignedMsix, AResetOfADisabledFunctionReleasesWhatWasKept) {
  start_with(2);
  rig.msix_control(0);
  (void)rig.fake.take_log();
  rig.device->release();
  EXPECT_EQ(rig.fake.irqfds(), 0U);
  EXPECT_EQ(rig.fake.routes(), 0U);
  EXPECT_EQ(rig.routes.used(), kIoapicPins);
}

TEST_F(AssignedMsix, TogglingForeverLeaksNothing) {
  start();
  rig.set_message(0, 0x30);
  rig.mask(0, false);
  const auto before = make_eventfd()->ref().number();
  for (unsigned round = 0; round < 25'000; ++round) {
    rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
    rig.mask(0, true);
    rig.mask(0, false);
    rig.msix_control(0);
  }
  rig.device->release();
  EXPECT_EQ(make_eventfd()->ref().number(), before);
  EXPECT_EQ(rig.fake.irqfds(), 0U);
  EXPECT_EQ(rig.fake.routes(), 0U);
}

TEST_F(AssignedMsix, OddAccessesReadAllOnesAndWriteNothing) {
  start_with(1);
  for (const unsigned width : {1U, 2U, 3U, 16U}) {
    EXPECT_EQ(rig.load(AssignedRig::kTable, width) & 0xffU, 0xffU) << width;
    rig.store(AssignedRig::kTable + 12, width, 1);
  }
  EXPECT_EQ(rig.load(AssignedRig::kTable + 2, 4), 0xffffffffU);
  EXPECT_EQ(rig.load(AssignedRig::kTable + 4, 8), ~std::uint64_t{0}) << "8 bytes are aligned to 8";
  EXPECT_EQ(rig.load(AssignedRig::kTable + 44, 8), ~std::uint64_t{0}) << "half in the table, half behind";
  rig.store(AssignedRig::kPending, 8, ~std::uint64_t{0});
  EXPECT_EQ(rig.load(AssignedRig::kPending, 8), 0U);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
}

TEST_F(AssignedMsix, EightByteWritesSetTwoWords) {
  start();
  rig.store(AssignedRig::kTable + 16, 8, 0x00000000fee01000);
  rig.store(AssignedRig::kTable + 24, 8, 0x0000000100000055);
  EXPECT_EQ(rig.load(AssignedRig::kTable + 16, 4), 0xfee01000U);
  EXPECT_EQ(rig.load(AssignedRig::kTable + 24, 8), 0x0000000100000055U);
}

TEST_F(AssignedMsix, MessageThatIsNoInterruptIsNeverRouted) {
  start();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  (void)rig.fake.take_log();
  rig.store(AssignedRig::kTable, 8, 0x00000000c0000000);
  rig.mask(0, false);
  rig.store(AssignedRig::kTable, 8, 0x000000fffee00000);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
}

TEST_F(AssignedMsix, RouteThatKvmRefusesIsTakenBack) {
  start_large();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.set_message(0, 0x30);
  rig.fake.fail[kvm::set_gsi_routing.number] = EINVAL;
  rig.mask(0, false);
  EXPECT_FALSE(rig.reports.empty());
  rig.fake.fail.clear();
  (void)rig.fake.take_log();
  rig.set_message(1, 0x31);
  rig.mask(1, false);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+", "irq 2 1: guest"));
}

TEST_F(AssignedMsix, HostWithoutVectorsIsReportedAndTriedAgain) {
  start_large();
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.set_message(1, 0x31);
  rig.fake.fail[VFIO_DEVICE_SET_IRQS] = ENOSPC;
  rig.mask(1, false);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("VFIO_DEVICE_SET_IRQS")));
  rig.fake.fail.clear();
  rig.mask(1, true);
  rig.mask(1, false);
  EXPECT_THAT(rig.fake.take_log(), testing::Contains("irq 2 1: guest"));
}

TEST_F(AssignedMsix, AVectorWithoutARouteIsReportedAndTriedAgain) {
  start_with(1);
  std::vector<Gsi> others;
  while (rig.routes.used() < InterruptRoutes::kMost) others.push_back(rig.routes.allocate().value());
  rig.set_message(1, 0x31);
  rig.mask(1, false);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("all 4096 interrupt routes of the VM are used")));
  rig.routes.release(others.back());
  rig.mask(1, true);
  rig.mask(1, false);
  EXPECT_THAT(rig.fake.take_log(), testing::Contains("irqfd+"));
  EXPECT_EQ(rig.routes.used(), InterruptRoutes::kMost);
}

TEST_F(AssignedMsix, CountsWhatItHoldsOfTheHost) {
  start();
  EXPECT_EQ(rig.device->vectors()->used, 0U);
  EXPECT_EQ(rig.device->vectors()->most, 3U);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_EQ(rig.device->vectors()->used, 3U) << "all of a small table at once";
  EXPECT_EQ(rig.routes.used(), kIoapicPins) << "a route is taken when the vector is unmasked";
  rig.set_message(2, 0x32);
  rig.mask(2, false);
  EXPECT_EQ(rig.device->vectors()->used, 3U);
  EXPECT_EQ(rig.routes.used(), kIoapicPins + 1U);
  rig.msix_control(0);
  EXPECT_EQ(rig.device->vectors()->used, 0U);
  EXPECT_EQ(rig.routes.used(), kIoapicPins + 1U) << "for the next time";
  rig.device->release();
  EXPECT_EQ(rig.routes.used(), kIoapicPins);
}

TEST(AssignedMsixLayout, IsHiddenWhenItPointsOutsideTheDevice) {
  for (const std::uint32_t table : {0x4000U | 3U, 0x3ff0U | 3U, 0U | 5U, 0U | 7U}) {
    AssignedRig rig;
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_TABLE, 4, table);
    rig.ready();
    EXPECT_EQ(rig.read(FakeVfio::kPm + 1, 1), FakeVfio::kExpress) << "skipped in the list";
    EXPECT_EQ(rig.read(FakeVfio::kMsix, 4), 0U);
    EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("MSI-X hidden"), HasSubstr("continuing without interrupts")));
  }
}

/// An MSI capability in front of the list of FakeVfio.
class AssignedMsi : public testing::Test {
 protected:
  static constexpr unsigned kMsi = 0x50;
  void start(std::uint16_t flags) {
    rig.fake.config(PCI_CAPABILITY_LIST, 1, kMsi);
    rig.fake.config(kMsi, 2, FakeVfio::kPm << 8U | PCI_CAP_ID_MSI);
    rig.fake.config(kMsi + PCI_MSI_FLAGS, 2, flags);
    rig.fake.irq_counts[VFIO_PCI_MSI_IRQ_INDEX] = irqs;
    rig.ready();
  }
  void message(std::uint32_t data, unsigned data_offset) {
    rig.write(kMsi + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
    rig.write(kMsi + data_offset, 2, data);
  }
  unsigned irqs{8};
  AssignedRig rig;
};

TEST_F(AssignedMsi, OffersWhatTheDeviceAndVfioHave) {
  start(0x0086);  // 64 bits, eight vectors
  EXPECT_EQ(rig.read(kMsi + PCI_MSI_FLAGS, 2), 0x0086U);
  EXPECT_EQ(rig.device->vectors()->most, 8U);
  EXPECT_EQ(rig.read(kMsi + 1, 1), FakeVfio::kPm) << "the link is not the capability's own";
}

TEST_F(AssignedMsi, OffersNoMoreThanVfioHasAndAPowerOfTwo) {
  irqs = 7;
  start(0x008a);  // 32 vectors
  EXPECT_EQ(rig.read(kMsi + PCI_MSI_FLAGS, 2), 0x0084U);
}

TEST_F(AssignedMsi, AReservedCountIsTheMost) {
  irqs = 128;
  start(0x008e);
  EXPECT_EQ(rig.read(kMsi + PCI_MSI_FLAGS, 2), 0x008aU);
}

TEST_F(AssignedMsi, NoMoreVectorsAreEnabledThanThereAre) {
  start(0x0086);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, 0x0070);
  EXPECT_EQ(rig.read(kMsi + PCI_MSI_FLAGS, 2), 0x00b6U);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, 0x0021);
  EXPECT_EQ(rig.read(kMsi + PCI_MSI_FLAGS, 2), 0x00a7U) << "four of eight";
}

TEST_F(AssignedMsi, VectorsAreTheMessageWithTheirNumberInItsLowBits) {
  start(0x0086);
  message(0x47, 0x0c);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x20);
  EXPECT_THAT(rig.fake.take_log(),
              ElementsAre("routes 4", "irqfd+", "irqfd+", "irqfd+", "irqfd+", "irq 1 0: guest guest guest guest"));
  EXPECT_THAT(rig.fake.route_data(), ElementsAre(0x44, 0x45, 0x46, 0x47));
  EXPECT_EQ(rig.device->vectors()->used, 4U);
  rig.fake.fire(VFIO_PCI_MSI_IRQ_INDEX, 3);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(VFIO_PCI_MSI_IRQ_INDEX, 3)}), 1U);
}

TEST_F(AssignedMsi, ANewMessageIsOneCallForAllVectors) {
  start(0x0086);
  message(0x40, 0x0c);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x30);
  (void)rig.fake.take_log();
  rig.write(kMsi + 0x0c, 2, 0x50);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 8"));
  EXPECT_THAT(rig.fake.route_data(), ElementsAre(0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57));
  rig.write(kMsi + 0x0c, 2, 0x55);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty()) << "the low bits are not the guest's";
}

TEST_F(AssignedMsi, AnotherCountWhileEnabledIsWiredAnew) {
  start(0x0086);
  message(0x40, 0x0c);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  (void)rig.fake.take_log();
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x10);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 off", "routes 2", "irqfd+", "irq 1 0: guest guest"));
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 off", "irq 1 0: guest"));
  EXPECT_EQ(rig.device->vectors()->used, 1U);
}

TEST_F(AssignedMsi, EachVectorIsMaskedByItself) {
  start(0x0106);  // 32 bits, per-vector masking, eight vectors
  message(0x40, 0x08);
  rig.write(kMsi + 0x0c, 4, 0xffffffff);
  EXPECT_EQ(rig.read(kMsi + 0x0c, 4), 0xffU) << "a bit for each";
  rig.write(kMsi + 0x0c, 4, 0x6);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x20);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 2", "irqfd+", "irqfd+", "irq 1 0: guest own own guest"));
  rig.fake.fire(VFIO_PCI_MSI_IRQ_INDEX, 2);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 4U);
  EXPECT_EQ(rig.read(kMsi + 0x10, 1), 4U);
  rig.write(kMsi + 0x10, 4, 0xffffffff);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 4U) << "the guest cannot write what is pending";
  rig.write(kMsi + 0x0c, 4, 0x1);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 0U);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(VFIO_PCI_MSI_IRQ_INDEX, 2)}), 1U);
  rig.fake.fire(VFIO_PCI_MSI_IRQ_INDEX, 0);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 1U);
  rig.write(kMsi + 0x0c, 1, 0);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(VFIO_PCI_MSI_IRQ_INDEX, 0)}), 1U);
}

TEST_F(AssignedMsi, AHostWithFewerGivesThoseAndTheRestIsSilent) {
  start(0x0106);
  message(0x40, 0x08);
  rig.fake.most_vectors = 3;
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x30);
  EXPECT_THAT(rig.reports, ElementsAre(HasSubstr("the host has interrupts for 3 of them")));
  EXPECT_EQ(rig.device->vectors()->used, 2U) << "a power of two";
  EXPECT_THAT(rig.fake.take_log(), testing::Contains("irq 1 0: guest guest"));
  rig.write(kMsi + 0x0c, 4, 0xff);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 0: own own"));
  rig.write(kMsi + 0x0c, 4, 0);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 0: guest guest")) << "never more than there are";
  EXPECT_EQ(rig.reports.size(), 1U);
}

TEST_F(AssignedMsi, AHostWithNoneIsReportedOnceAndAskedAgainAtTheNextWrite) {
  start(0x0106);
  message(0x40, 0x08);
  rig.fake.no_vectors = ENOSPC;
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x20);
  EXPECT_EQ(rig.reports.size(), 1U);
  EXPECT_EQ(rig.device->vectors()->used, 0U);
  (void)rig.fake.take_log();
  rig.fake.no_vectors = 0;
  rig.write(kMsi + 0x0c, 4, 2);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 0: guest own guest guest"));
}

TEST_F(AssignedMsi, RoutesThatKvmRefusesLeaveVectorsThatWait) {
  start(0x0106);
  message(0x40, 0x08);
  rig.fake.fail[kvm::set_gsi_routing.number] = EINVAL;
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x10);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 0: own own"));
  EXPECT_FALSE(rig.reports.empty());
  rig.fake.fire(VFIO_PCI_MSI_IRQ_INDEX, 1);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 2U);
  rig.fake.fail.clear();
  rig.write(kMsi + 0x0c, 4, 0);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 2", "irqfd+", "irqfd+"));
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(VFIO_PCI_MSI_IRQ_INDEX, 1)}), 1U);
}

TEST_F(AssignedMsi, AnIrqfdThatKvmRefusesLeavesItsVectorWaiting) {
  start(0x0106);
  message(0x40, 0x08);
  rig.fake.no_irqfds = EBUSY;
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 0x10);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 2", "irq 1 0: own own"));
  rig.fake.no_irqfds = 0;
  rig.write(kMsi + 0x0c, 4, 0);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irqfd+", "irqfd+"));
}

TEST_F(AssignedMsi, EnableRoutesAttachesAndTriggersOnce) {
  start(0x0080);
  message(0x41, 0x0c);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("routes 1", "irqfd+", "irq 1 0: guest"));
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), IsEmpty());
  EXPECT_EQ(rig.fake.config(kMsi + PCI_MSI_FLAGS, 2), 0x0080U) << "the enable bit is VFIO's";
  rig.write(kMsi + PCI_MSI_FLAGS, 2, 0);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 off"));
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  EXPECT_THAT(rig.fake.take_log(), ElementsAre("irq 1 0: guest"));
}

TEST_F(AssignedMsi, MaskKeepsTheInterruptPending) {
  start(0x0100);  // 32 bits, per-vector masking
  message(0x41, 0x08);
  rig.write(kMsi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  rig.write(kMsi + 0x0c, 4, 1);
  rig.fake.fire(VFIO_PCI_MSI_IRQ_INDEX, 0);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 1U);
  rig.write(kMsi + 0x0c, 4, 0);
  EXPECT_EQ(rig.read(kMsi + 0x10, 4), 0U);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(VFIO_PCI_MSI_IRQ_INDEX, 0)}), 1U);
}

TEST_F(AssignedMsi, IsHiddenWhenVfioHasNoVectors) {
  rig.fake.config(PCI_CAPABILITY_LIST, 1, kMsi);
  rig.fake.config(kMsi, 2, FakeVfio::kPm << 8U | PCI_CAP_ID_MSI);
  rig.ready();
  EXPECT_EQ(rig.read(PCI_CAPABILITY_LIST, 1), FakeVfio::kPm);
}

TEST_F(AssignedMsi, KindsInAnyOrderLeaveNothing) {
  start(0x0086);
  rig.decode();
  message(0x41, 0x0c);
  rig.set_message(0, 0x31);
  rig.mask(0, false);
  const auto files = make_eventfd()->ref().number();
  std::mt19937 random{6};
  const auto roll = [&](unsigned sides) { return static_cast<std::uint32_t>(random() % sides); };
  for (unsigned round = 0; round < 20'000; ++round) {
    switch (roll(3)) {
      case 0: rig.write(kMsi + PCI_MSI_FLAGS, 2, roll(2) | roll(8) << 4U); break;
      case 1: rig.msix_control(roll(4) << 14U); break;
      default: rig.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | roll(2) << 10U);
    }
  }
  rig.write(kMsi + PCI_MSI_FLAGS, 2, 0);
  rig.msix_control(0);
  EXPECT_EQ(rig.fake.host_vectors_of(VFIO_PCI_MSI_IRQ_INDEX) + rig.fake.host_vectors_of(kMsixIrq), 0U);
  rig.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig.fake.fire(kMsixIrq, 0);
  EXPECT_EQ(drain_eventfd(FdRef{rig.fake.trigger(kMsixIrq, 0)}), 1U) << "works as before";
  rig.device->release();
  EXPECT_EQ(rig.fake.irqfds(), 0U);
  EXPECT_EQ(rig.fake.routes(), 0U);
  EXPECT_EQ(make_eventfd()->ref().number(), files);
}

TEST(AssignedMsixLayout, TableAndPendingBitsMustNotOverlap) {
  AssignedRig rig;
  rig.fake.config(FakeVfio::kMsix + PCI_MSIX_PBA, 4, 0x20 | 3);
  rig.ready();
  EXPECT_THAT(rig.reports, testing::Contains(HasSubstr("overlap")));
}

}  // namespace
}  // namespace pcivm::vmm
