// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/ioapic.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/vmm/legacy_fakes.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr std::uint64_t kLevel = 0x8000;
constexpr std::uint64_t kMasked = 0x10000;
constexpr std::uint64_t kRemoteIrr = 0x4000;

class IoapicPins : public testing::Test {
 protected:
  void write32(std::uint64_t offset, std::uint32_t value) {
    std::array<std::byte, 4> data{};
    store_le(data, value);
    ioapic.write(offset, data);
  }
  std::uint32_t read32(std::uint64_t offset) {
    std::array<std::byte, 4> data{};
    ioapic.read(offset, data);
    return static_cast<std::uint32_t>(load_le(data));
  }
  void write_register(std::uint8_t index, std::uint32_t value) {
    write32(0, index);
    write32(0x10, value);
  }
  std::uint32_t read_register(std::uint8_t index) {
    write32(0, index);
    return read32(0x10);
  }
  void program(unsigned pin, std::uint64_t entry) {
    write_register(static_cast<std::uint8_t>(0x11 + 2 * pin), static_cast<std::uint32_t>(entry >> 32U));
    write_register(static_cast<std::uint8_t>(0x10 + 2 * pin), static_cast<std::uint32_t>(entry));
  }
  std::uint64_t entry(unsigned pin) {
    return std::uint64_t{read_register(static_cast<std::uint8_t>(0x11 + 2 * pin))} << 32U |
           read_register(static_cast<std::uint8_t>(0x10 + 2 * pin));
  }
  test::FakeKvm kvm;
  InterruptRoutes routes{kvm, FdRef{-1}};
  int mask_changes{};
  std::vector<std::string> reports;
  Ioapic ioapic{routes,
                {.on_mask_change = [this] { ++mask_changes; },
                 .report = [this](const Error& error) { reports.push_back(error.text()); }}};
};

TEST_F(IoapicPins, HasTwentyFourMaskedPinsAndAnEoiRegister) {
  EXPECT_EQ(read_register(1), 0x00170020U);
  for (unsigned pin = 0; pin < 24; ++pin) EXPECT_EQ(entry(pin), kMasked) << pin;
  EXPECT_EQ(read_register(0x40), ~0U);
}

TEST_F(IoapicPins, IdKeepsItsFourBits) {
  write_register(0, 0xffffffff);
  EXPECT_EQ(read_register(0), 0x0f000000U);
  EXPECT_EQ(read_register(2), 0x0f000000U);
}

TEST_F(IoapicPins, EntryKeepsOnlyWritableBits) {
  program(7, ~0ULL);
  EXPECT_EQ(entry(7), 0xff0000000001afffULL);
}

TEST_F(IoapicPins, EdgeBecomesOneMessage) {
  program(4, 3ULL << 56U | 0x34);
  ioapic.set(4, true);
  ioapic.set(4, true);
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfee03000, .data = 0x34}));
  ioapic.set(4, false);
  ioapic.set(4, true);
  EXPECT_THAT(kvm.signalled, SizeIs(2));
}

TEST_F(IoapicPins, LogicalLowestPriorityIsPassedOn) {
  program(4, 0xffULL << 56U | 0x900 | 0x41);
  ioapic.set(4, true);
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfeeff004, .data = 0x141}));
}

TEST_F(IoapicPins, EdgeEntryNeedsNoRoute) {
  program(4, 0x34);
  EXPECT_EQ(kvm.commits, 0);
}

TEST_F(IoapicPins, UnmaskedLevelEntryIsMirroredIntoItsRoute) {
  program(16, 1ULL << 56U | kLevel | 0x51);
  EXPECT_THAT(kvm.routes, ElementsAre(Pair(16U, MsiMessage{.address = 0xfee01000, .data = 0xc051})));
  EXPECT_EQ(kvm.commits, 1);
}

TEST_F(IoapicPins, MaskingAndUnmaskingTheSameEntryMakesNoSystemCall) {
  program(16, kLevel | 0x51);
  ASSERT_EQ(kvm.commits, 1);
  program(16, kLevel | kMasked | 0x51);
  EXPECT_THAT(kvm.routes, SizeIs(1)) << "the EOI of a masked interrupt must still be reported";
  program(16, kLevel | 0x51);
  EXPECT_EQ(kvm.commits, 1);
}

TEST_F(IoapicPins, MaskedEntryIsNotRouted) {
  program(16, kLevel | kMasked | 0x51);
  EXPECT_EQ(kvm.commits, 0);
}

TEST_F(IoapicPins, LevelIsDeliveredOnceUntilEoi) {
  program(16, kLevel | 0x51);
  ioapic.set(16, true);
  ioapic.set(16, false);
  ioapic.set(16, true);
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfee00000, .data = 0xc051}));
  EXPECT_EQ(entry(16), kLevel | kRemoteIrr | 0x51);
  ioapic.eoi(0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(2));
  ioapic.set(16, false);
  ioapic.eoi(0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(2));
  EXPECT_EQ(entry(16), kLevel | 0x51);
}

TEST_F(IoapicPins, EoiOfAnotherVectorChangesNothing) {
  program(16, kLevel | 0x51);
  ioapic.set(16, true);
  ioapic.eoi(0x52);
  EXPECT_EQ(entry(16), kLevel | kRemoteIrr | 0x51);
}

TEST_F(IoapicPins, EoiReachesEveryPinWithThatVector) {
  program(16, kLevel | 0x51);
  program(17, kLevel | 0x51);
  ioapic.set(16, true);
  ioapic.set(17, true);
  ioapic.eoi(0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(4));
}

TEST_F(IoapicPins, EoiRegisterWorksAsTheLocalApicsEoi) {
  program(16, kLevel | 0x51);
  ioapic.set(16, true);
  ioapic.set(16, false);
  write32(0x40, 0x51);
  EXPECT_EQ(entry(16), kLevel | 0x51);
}

TEST_F(IoapicPins, ListenerLowersTheLineBeforeItIsDeliveredAgain) {
  program(16, kLevel | 0x51);
  int calls = 0;
  ioapic.on_eoi(16, [&] {
    ++calls;
    ioapic.set(16, false);
  });
  ioapic.set(16, true);
  ioapic.eoi(0x51);
  EXPECT_EQ(calls, 1);
  EXPECT_THAT(kvm.signalled, SizeIs(1));
  ioapic.eoi(0x51);
  EXPECT_EQ(calls, 1) << "nothing was in service";
}

TEST_F(IoapicPins, ListenerMayRaiseTheLineAgainAndGetsOneInterrupt) {
  program(16, kLevel | 0x51);
  ioapic.on_eoi(16, [&] {
    ioapic.set(16, false);
    ioapic.set(16, true);
  });
  ioapic.set(16, true);
  ioapic.eoi(0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(2));
}

TEST_F(IoapicPins, TellsWhoWaitsForAnUnmask) {
  program(16, kLevel | kMasked | 0x51);
  int calls = 0;
  ioapic.on_unmask(16, [&] {
    ++calls;
    ioapic.set(16, true);
  });
  program(17, kLevel | 0x52);
  program(16, kLevel | kMasked | 0x53);
  EXPECT_EQ(calls, 0);
  program(16, kLevel | 0x51);
  EXPECT_EQ(calls, 1);
  EXPECT_THAT(kvm.signalled, SizeIs(1));
}

TEST_F(IoapicPins, LevelAssertedWhileMaskedIsDeliveredAtUnmask) {
  ioapic.set(16, true);
  program(16, kLevel | kMasked | 0x51);
  EXPECT_THAT(kvm.signalled, IsEmpty());
  program(16, kLevel | 0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(1));
}

TEST_F(IoapicPins, EdgeWhileMaskedIsDeliveredAtUnmaskIfTheLineIsStillHigh) {
  ioapic.set(4, true);
  program(4, 0x34);
  EXPECT_THAT(kvm.signalled, SizeIs(1));
  program(4, kMasked | 0x34);
  program(4, 0x34);
  EXPECT_THAT(kvm.signalled, SizeIs(1)) << "one edge, one message";
}

TEST_F(IoapicPins, EdgeWhileMaskedIsForgottenWhenTheLineFalls) {
  ioapic.set(4, true);
  ioapic.set(4, false);
  program(4, 0x34);
  EXPECT_THAT(kvm.signalled, IsEmpty());
}

TEST_F(IoapicPins, TurningAnEntryToEdgeEndsTheInterrupt) {
  program(16, kLevel | 0x51);
  ioapic.set(16, true);
  program(16, kMasked | 0x51);
  program(16, kLevel | kMasked | 0x51);
  EXPECT_EQ(entry(16), kLevel | kMasked | 0x51);
}

TEST_F(IoapicPins, ExtIntAndSmiAreNotDelivered) {
  for (const std::uint64_t mode : {2U, 3U, 6U, 7U}) {
    program(0, mode << 8U | 0x51);
    ioapic.set(0, true);
    ioapic.set(0, false);
  }
  EXPECT_THAT(kvm.signalled, IsEmpty());
}

TEST_F(IoapicPins, LevelThatNobodyTookIsTriedAgainAtTheNextWrite) {
  kvm.signal_result = -EPERM;
  program(16, 9ULL << 56U | kLevel | 0x51);
  ioapic.set(16, true);
  EXPECT_EQ(entry(16), 9ULL << 56U | kLevel | 0x51);
  kvm.signal_result = 1;
  program(16, kLevel | 0x51);
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfee00000, .data = 0xc051}));
}

TEST_F(IoapicPins, RefusedRouteIsReported) {
  kvm.commit_result = -EINVAL;
  program(16, kLevel | 0x51);
  EXPECT_THAT(reports, ElementsAre(testing::HasSubstr("ioapic: KVM_SET_GSI_ROUTING")));
}

TEST_F(IoapicPins, TellsWhenAMaskChanges) {
  program(4, 0x34);
  EXPECT_EQ(mask_changes, 1);
  EXPECT_FALSE(ioapic.masked(4));
  program(4, 0x35);
  EXPECT_EQ(mask_changes, 1);
  program(4, kMasked);
  EXPECT_EQ(mask_changes, 2);
  EXPECT_TRUE(ioapic.masked(4));
}

TEST_F(IoapicPins, OddAccessesReadAllOnesAndWriteNothing) {
  std::array<std::byte, 8> data{};
  ioapic.read(0x13, data);
  EXPECT_EQ(load_le(data), ~0ULL);
  write32(0, 0x10 + 8);
  const std::array narrow{std::byte{0x34}, std::byte{0x00}};
  ioapic.write(0x10, narrow);
  EXPECT_EQ(entry(4), kMasked);
  ioapic.write(0x10, {});
  EXPECT_EQ(entry(4), kMasked);
}

TEST_F(IoapicPins, ResetMasksAllAndTakesRoutesAway) {
  program(16, kLevel | 0x51);
  ioapic.reset();
  EXPECT_EQ(entry(16), kMasked);
  EXPECT_THAT(kvm.routes, IsEmpty());
}

}  // namespace
}  // namespace pcivm::vmm
