// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/pic.hpp"

#include <gtest/gtest.h>

#include <array>

namespace pcivm::vmm {
namespace {

class PicPair : public testing::Test {
 protected:
  // As Linux' init_8259A: vectors 0x30 and 0x38, nothing masked.
  void SetUp() override { initialise(0x01); }
  void initialise(std::uint8_t icw4) {
    for (const auto base : std::to_array<std::uint16_t>({0x20, 0xa0})) {
      const auto data = static_cast<std::uint16_t>(base + 1);
      pic.write(base, 0x11);
      pic.write(data, base == 0x20 ? 0x30 : 0x38);
      pic.write(data, base == 0x20 ? 0x04 : 0x02);
      pic.write(data, icw4);
      pic.write(data, 0x00);
    }
    kicks = 0;
  }
  void pulse(unsigned irq) {
    pic.set(irq, true);
    pic.set(irq, false);
  }
  std::uint8_t read_in_service(std::uint16_t base) {
    pic.write(base, 0x0b);
    const auto value = pic.read(base);
    pic.write(base, 0x0a);
    return value;
  }
  int kicks{};
  int mask_changes{};
  Pic pic{{.on_interrupt = [this] { ++kicks; }, .on_mask_change = [this] { ++mask_changes; }}};
};

TEST_F(PicPair, MasterInterruptHasItsVectorAndStaysInServiceUntilEoi) {
  pulse(3);
  ASSERT_TRUE(pic.pending());
  EXPECT_EQ(kicks, 1);
  EXPECT_EQ(pic.acknowledge(), 0x33);
  EXPECT_FALSE(pic.pending());
  EXPECT_EQ(read_in_service(0x20), 0x08);
  pulse(3);
  EXPECT_FALSE(pic.pending());
  pic.write(0x20, 0x20);
  EXPECT_TRUE(pic.pending());
}

TEST_F(PicPair, SlaveInterruptComesThroughLineTwo) {
  pulse(12);
  EXPECT_EQ(pic.acknowledge(), 0x3c);
  EXPECT_EQ(read_in_service(0x20), 0x04);
  EXPECT_EQ(read_in_service(0xa0), 0x10);
  pic.write(0xa0, 0x64);
  pic.write(0x20, 0x62);
  EXPECT_EQ(read_in_service(0x20), 0x00);
  EXPECT_EQ(read_in_service(0xa0), 0x00);
}

TEST_F(PicPair, SecondSlaveRequestIsNotLost) {
  pulse(12);
  EXPECT_EQ(pic.acknowledge(), 0x3c);
  pulse(8);
  pic.write(0xa0, 0x64);
  pic.write(0x20, 0x62);
  ASSERT_TRUE(pic.pending());
  EXPECT_EQ(pic.acknowledge(), 0x38);
}

TEST_F(PicPair, LowerNumberGoesFirstAndInterruptsTheHigher) {
  pulse(4);
  pulse(1);
  EXPECT_EQ(pic.acknowledge(), 0x31);
  EXPECT_FALSE(pic.pending());
  pic.write(0x20, 0x20);
  EXPECT_EQ(pic.acknowledge(), 0x34);
  pulse(0);
  EXPECT_TRUE(pic.pending());
  EXPECT_EQ(pic.acknowledge(), 0x30);
}

TEST_F(PicPair, NonSpecificEoiEndsTheHighestInService) {
  pulse(4);
  std::ignore = pic.acknowledge();
  pulse(1);
  std::ignore = pic.acknowledge();
  pic.write(0x20, 0x20);
  EXPECT_EQ(read_in_service(0x20), 0x10);
}

TEST_F(PicPair, MaskHoldsARequestBack) {
  pic.write(0x21, 0x08);
  EXPECT_EQ(mask_changes, 1);
  EXPECT_TRUE(pic.masked(3));
  pulse(3);
  EXPECT_FALSE(pic.pending());
  EXPECT_EQ(pic.read(0x20), 0x08);
  pic.write(0x21, 0x00);
  EXPECT_EQ(kicks, 1);
  EXPECT_EQ(pic.acknowledge(), 0x33);
}

TEST_F(PicPair, MaskCallbackComesOnlyForAChange) {
  const int before = mask_changes;
  pic.write(0x21, 0x00);
  pic.write(0x20, 0x20);
  EXPECT_EQ(mask_changes, before);
}

TEST_F(PicPair, MaskReadsBack) {
  pic.write(0x21, 0xa5);
  pic.write(0xa1, 0x5a);
  EXPECT_EQ(pic.read(0x21), 0xa5);
  EXPECT_EQ(pic.read(0xa1), 0x5a);
}

TEST_F(PicPair, AcknowledgeWithoutRequestIsSpurious) {
  EXPECT_EQ(pic.acknowledge(), 0x37);
  EXPECT_EQ(read_in_service(0x20), 0x00);
}

TEST_F(PicPair, SlaveRequestThatVanishedIsSpurious) {
  pic.write(0x4d1, 0x04);  // IRQ 10 level
  pic.set(10, true);
  pic.write(0xa1, 0xff);
  EXPECT_FALSE(pic.pending());
  EXPECT_EQ(pic.acknowledge(), 0x37);
}

TEST_F(PicPair, LevelLineInterruptsAgainAfterEoiUntilItFalls) {
  pic.write(0x4d0, 0x20);
  EXPECT_EQ(pic.read(0x4d0), 0x20);
  pic.set(5, true);
  EXPECT_EQ(pic.acknowledge(), 0x35);
  pic.write(0x20, 0x20);
  ASSERT_TRUE(pic.pending());
  EXPECT_EQ(pic.acknowledge(), 0x35);
  pic.set(5, false);
  pic.write(0x20, 0x20);
  EXPECT_FALSE(pic.pending());
}

TEST_F(PicPair, TimerKeyboardCascadeClockAndFpuStayEdge) {
  pic.write(0x4d0, 0xff);
  pic.write(0x4d1, 0xff);
  EXPECT_EQ(pic.read(0x4d0), 0xf8);
  EXPECT_EQ(pic.read(0x4d1), 0xde);
}

TEST_F(PicPair, AutoEoiLeavesNothingInService) {
  initialise(0x03);
  pulse(3);
  EXPECT_EQ(pic.acknowledge(), 0x33);
  EXPECT_EQ(read_in_service(0x20), 0x00);
  pulse(3);
  EXPECT_TRUE(pic.pending());
}

TEST_F(PicPair, RotationMakesTheServedLineTheLowest) {
  pulse(0);
  std::ignore = pic.acknowledge();
  pic.write(0x20, 0xa0);
  pulse(0);
  pulse(7);
  EXPECT_EQ(pic.acknowledge(), 0x37);
}

TEST_F(PicPair, SpecialMaskModeLetsLowerPrioritiesThrough) {
  pulse(1);
  std::ignore = pic.acknowledge();
  pulse(6);
  EXPECT_FALSE(pic.pending());
  pic.write(0x21, 0x02);
  pic.write(0x20, 0x68);
  EXPECT_EQ(pic.acknowledge(), 0x36);
}

TEST_F(PicPair, PollAcknowledgesOnce) {
  pulse(3);
  pic.write(0x20, 0x0c);
  EXPECT_EQ(pic.read(0x20), 0x83);
  EXPECT_FALSE(pic.pending());
  EXPECT_EQ(read_in_service(0x20), 0x08);
  EXPECT_EQ(pic.read(0x20), 0x00);
}

TEST_F(PicPair, IsSilentDuringInitialisation) {
  pic.write(0x20, 0x11);
  pulse(3);
  EXPECT_FALSE(pic.pending());
}

TEST_F(PicPair, ResetForgetsRequestsAndMasks) {
  pic.write(0x21, 0x55);
  pulse(3);
  pic.reset();
  EXPECT_EQ(pic.read(0x21), 0x00);
  EXPECT_FALSE(pic.pending());
}

}  // namespace
}  // namespace pcivm::vmm
