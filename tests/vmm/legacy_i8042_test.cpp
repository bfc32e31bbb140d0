// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/i8042.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/vmm/legacy_fakes.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class KeyboardController : public testing::Test {
 protected:
  void command(std::uint8_t value) { controller.write(0x64, value); }
  void data(std::uint8_t value) { controller.write(0x60, value); }
  std::vector<int> answers() {
    std::vector<int> bytes;
    while ((controller.read(0x64) & 1U) != 0) bytes.push_back(controller.read(0x60));
    return bytes;
  }
  test::FakeLine irq1;
  test::FakeLine irq12;
  int resets{};
  I8042 controller{{.irq1 = irq1, .irq12 = irq12, .reset = [this] { ++resets; }}};
};

TEST_F(KeyboardController, PassesItsTests) {
  command(0xaa);
  EXPECT_THAT(answers(), ElementsAre(0x55));
  command(0xab);
  EXPECT_THAT(answers(), ElementsAre(0x00));
}

TEST_F(KeyboardController, CommandByteReadsBack) {
  command(0x20);
  EXPECT_THAT(answers(), ElementsAre(0x65));
  command(0x60);
  data(0x74);
  command(0x20);
  EXPECT_THAT(answers(), ElementsAre(0x74));
}

// Linux' i8042_check_aux: both answers say at once that there is no mouse port.
TEST_F(KeyboardController, AnAbsentAuxiliaryPortIsSeenWithoutDelay) {
  I8042 bare{{.irq1 = irq1, .irq12 = irq12, .reset = {}, .keyboard = false}};
  bare.write(0x64, 0xd3);
  bare.write(0x60, 0x5a);
  EXPECT_EQ(bare.read(0x64) & 0x21, 0x01) << "an answer, not from the auxiliary port";
  EXPECT_EQ(bare.read(0x60), 0x5a);
  bare.write(0x64, 0xa9);
  EXPECT_EQ(bare.read(0x60), 0x01);
}

TEST_F(KeyboardController, AnswersOfTheMouseAreMarkedAndHaveAnInterruptOfTheirOwn) {
  command(0x60);
  data(0x47);
  command(0xd4);
  data(0xff);
  EXPECT_EQ(controller.read(0x64) & 0x21, 0x21);
  EXPECT_TRUE(irq12.asserted);
  EXPECT_FALSE(irq1.asserted);
  EXPECT_THAT(answers(), ElementsAre(0xfa, 0xaa, 0x00));
  EXPECT_EQ(irq12.edges, 3);
  EXPECT_FALSE(irq12.asserted);
}

TEST_F(KeyboardController, AMouseThatWrapsSaysEverythingBack) {
  const auto tell = [this](std::uint8_t value) {
    command(0xd4);
    data(value);
    return answers();
  };
  EXPECT_THAT(tell(0xee), ElementsAre(0xfa));
  EXPECT_THAT(tell(0xf2), ElementsAre(0xf2));
  EXPECT_THAT(tell(0xec), ElementsAre(0xfa));
  EXPECT_THAT(tell(0xf2), ElementsAre(0xfa, 0x00));
  EXPECT_THAT(tell(0xeb), ElementsAre(0xfa, 0x08, 0x00, 0x00));
  EXPECT_THAT(tell(0x00), ElementsAre(0xfe)) << "unknown command";
}

TEST_F(KeyboardController, KeyboardResetsAndIdentifies) {
  data(0xff);
  EXPECT_THAT(answers(), ElementsAre(0xfa, 0xaa));
  data(0xf2);
  EXPECT_THAT(answers(), ElementsAre(0xfa, 0xab, 0x41));
  data(0xed);
  data(0x02);
  EXPECT_THAT(answers(), ElementsAre(0xfa, 0xfa));
  data(0xea);
  EXPECT_THAT(answers(), ElementsAre(0xfe)) << "unknown command";
}

TEST_F(KeyboardController, EachByteHasItsOwnEdge) {
  data(0xf2);
  EXPECT_EQ(irq1.edges, 1);
  answers();
  EXPECT_EQ(irq1.edges, 3);
  EXPECT_FALSE(irq1.asserted);
}

TEST_F(KeyboardController, InterruptCanBeTurnedOff) {
  command(0x60);
  data(0x44);
  data(0xf4);
  EXPECT_FALSE(irq1.asserted);
  EXPECT_THAT(answers(), ElementsAre(0xfa));
}

TEST_F(KeyboardController, StatusTellsCommandFromData) {
  command(0xae);
  EXPECT_EQ(controller.read(0x64), 0x1c);
  command(0x60);
  data(0x65);
  EXPECT_EQ(controller.read(0x64), 0x14);
}

TEST_F(KeyboardController, AbsentKeyboardRefusesAtOnce) {
  I8042 bare{{.irq1 = irq1, .irq12 = irq12, .reset = {}, .keyboard = false}};
  bare.write(0x60, 0xf2);
  EXPECT_EQ(bare.read(0x60), 0xfe);
  EXPECT_EQ(bare.read(0x64) & 1, 0);
}

TEST_F(KeyboardController, PulsingTheResetLineResets) {
  command(0xff);
  EXPECT_EQ(resets, 0) << "no line selected";
  command(0xfe);
  EXPECT_EQ(resets, 1);
  command(0xd1);
  data(0x02);
  EXPECT_EQ(resets, 2);
}

TEST_F(KeyboardController, SystemPortResetsAndKeepsA20) {
  EXPECT_EQ(controller.read(0x92), 0x02);
  controller.write(0x92, 0x00);
  EXPECT_EQ(controller.read(0x92), 0x00);
  EXPECT_EQ(resets, 0);
  controller.write(0x92, 0x03);
  EXPECT_EQ(resets, 1);
}

TEST_F(KeyboardController, UnreadAnswersDoNotPileUp) {
  for (int count = 0; count < 1000; ++count) data(0xf2);
  EXPECT_EQ(answers().size(), 16U);
}

TEST_F(KeyboardController, ResetEmptiesTheQueue) {
  data(0xf2);
  controller.reset();
  EXPECT_THAT(answers(), IsEmpty());
  EXPECT_FALSE(irq1.asserted);
}

}  // namespace
}  // namespace pcivm::vmm
