// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/pit.hpp"

#include <gtest/gtest.h>

#include "tests/vmm/legacy_fakes.hpp"

namespace pcivm::vmm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PitCounters : public testing::Test {
 protected:
  PitCounters() { pit.use(timer); }
  void advance(PitTicks ticks) { time.advance(from_pit_ticks(ticks)); }
  void program(unsigned counter, unsigned mode, std::uint16_t count) {
    pit.write(0x43, static_cast<std::uint8_t>(counter << 6U | 0x30U | mode << 1U));
    const auto port = static_cast<std::uint16_t>(0x40 + counter);
    pit.write(port, static_cast<std::uint8_t>(count));
    pit.write(port, static_cast<std::uint8_t>(count >> 8U));
  }
  std::uint16_t latched(unsigned counter) {
    pit.write(0x43, static_cast<std::uint8_t>(counter << 6U));
    return both(counter);
  }
  std::uint16_t both(unsigned counter) {
    const auto port = static_cast<std::uint16_t>(0x40 + counter);
    const unsigned low = pit.read(port);
    return static_cast<std::uint16_t>(low | unsigned{pit.read(port)} << 8U);
  }
  bool output2() { return (pit.read(0x61) & 0x20U) != 0; }

  test::FakeTime time;
  test::FakeLine irq0;
  test::FakeTimer timer;
  bool wanted{true};
  Pit pit{{.irq0 = irq0, .now = [this] { return time.monotonic; }, .irq_wanted = [this] { return wanted; }}};
};

TEST_F(PitCounters, RateGeneratorCountsDownAndBeginsAnew) {
  program(1, 2, 1000);
  EXPECT_EQ(latched(1), 1000);
  advance(400);
  EXPECT_EQ(latched(1), 600);
  advance(700);
  EXPECT_EQ(latched(1), 900);
}

TEST_F(PitCounters, CountZeroIs65536) {
  program(0, 2, 0);
  EXPECT_EQ(timer.period, from_pit_ticks(65536));
  advance(1);
  EXPECT_EQ(latched(0), 65535);
}

TEST_F(PitCounters, SquareWaveCountsByTwo) {
  program(1, 3, 1000);
  advance(100);
  EXPECT_EQ(latched(1), 800);
  advance(500);
  EXPECT_EQ(latched(1), 800);
}

TEST_F(PitCounters, LatchHoldsWhileTheCounterRuns) {
  program(1, 2, 1000);
  advance(100);
  pit.write(0x43, 0x40);
  advance(100);
  EXPECT_EQ(both(1), 900);
  EXPECT_EQ(both(1), 800);
}

TEST_F(PitCounters, SecondLatchBeforeTheReadIsIgnored) {
  program(1, 2, 1000);
  advance(100);
  pit.write(0x43, 0x40);
  advance(100);
  pit.write(0x43, 0x40);
  EXPECT_EQ(both(1), 900);
}

TEST_F(PitCounters, ReadBackGivesStatusThenCount) {
  program(1, 2, 1000);
  advance(1);
  pit.write(0x43, 0xc4);
  EXPECT_EQ(pit.read(0x41), 0xb4);  // output high, count loaded, both bytes, mode 2
  EXPECT_EQ(both(1), 999);
}

TEST_F(PitCounters, StatusTellsThatTheCountIsNotThereYet) {
  pit.write(0x43, 0x70);
  pit.write(0x43, 0xe4);
  EXPECT_EQ(pit.read(0x41), 0x70);
}

TEST_F(PitCounters, SingleByteAccessTakesOneByte) {
  pit.write(0x43, 0x54);  // counter 1, low byte only, mode 2
  pit.write(0x41, 100);
  advance(10);
  EXPECT_EQ(pit.read(0x41), 90);
  pit.write(0x43, 0x64);  // high byte only
  pit.write(0x41, 2);
  advance(10);
  EXPECT_EQ(pit.read(0x41), 1);
}

TEST_F(PitCounters, GateOfCounterTwoStartsTerminalCount) {
  program(2, 0, 1000);
  advance(5000);
  EXPECT_FALSE(output2());
  pit.write(0x61, 0x01);
  advance(999);
  EXPECT_FALSE(output2());
  advance(1);
  EXPECT_TRUE(output2());
}

TEST_F(PitCounters, GatePausesModeZero) {
  pit.write(0x61, 0x01);
  program(2, 0, 1000);
  advance(400);
  pit.write(0x61, 0x00);
  advance(5000);
  EXPECT_EQ(latched(2), 600);
  pit.write(0x61, 0x01);
  advance(600);
  EXPECT_TRUE(output2());
}

TEST_F(PitCounters, GateTriggersTheOneShot) {
  program(2, 1, 100);
  EXPECT_TRUE(output2());
  pit.write(0x61, 0x01);
  advance(50);
  EXPECT_FALSE(output2());
  advance(50);
  EXPECT_TRUE(output2());
}

// As in Linux' quick_pit_calibrate: mode 0 from 0xffff, the high byte seen to fall without latching.
TEST_F(PitCounters, HighByteFallsEvery256Ticks) {
  pit.write(0x61, 0x01);
  program(2, 0, 0xffff);
  EXPECT_EQ(both(2) >> 8U, 0xff);
  advance(256);
  EXPECT_EQ(both(2) >> 8U, 0xfe);
}

TEST_F(PitCounters, RefreshBitToggles) {
  const auto first = pit.read(0x61) & 0x10;
  advance(18);
  EXPECT_NE(pit.read(0x61) & 0x10, first);
}

TEST_F(PitCounters, CounterZeroTicksAtItsRate) {
  program(0, 2, 11932);
  ASSERT_TRUE(timer.armed);
  EXPECT_NEAR(static_cast<double>(timer.period.count()), 10'000'150, 100);
  EXPECT_FALSE(irq0.asserted);
  advance(11932);
  pit.tick();
  advance(11932);
  pit.tick();
  EXPECT_EQ(irq0.edges, 2);
}

TEST_F(PitCounters, OneShotTicksOnce) {
  program(0, 0, 1193);
  EXPECT_EQ(timer.period, Nanoseconds{0});
  advance(1193);
  pit.tick();
  pit.tick();
  EXPECT_EQ(irq0.edges, 1);
}

TEST_F(PitCounters, TimerRunsOnlyWhileSomebodySeesTheInterrupt) {
  wanted = false;
  program(0, 2, 11932);
  EXPECT_FALSE(timer.armed);
  advance(6000);
  wanted = true;
  pit.mask_changed();
  ASSERT_TRUE(timer.armed);
  EXPECT_EQ(timer.first, from_pit_ticks(11932 - 6000));
  const int arms = timer.arms;
  pit.mask_changed();
  EXPECT_EQ(timer.arms, arms) << "already runs";
  wanted = false;
  pit.mask_changed();
  EXPECT_FALSE(timer.armed);
}

// The kernel test ioapic.an_edge_is_delivered_once in a slow host.
TEST_F(PitCounters, ACountThatIsOverBeforeItsTimerIsArmedStillTicks) {
  Pit slow{{.irq0 = irq0,
            .now =
                [this] {
                  advance(60);
                  return time.monotonic;
                },
            .irq_wanted = [] { return true; }}};
  slow.use(timer);
  slow.write(0x43, 0x30);
  slow.write(0x40, 50);
  slow.write(0x40, 0);
  EXPECT_EQ(timer.first, from_pit_ticks(50));
  slow.tick();
  EXPECT_TRUE(irq0.asserted);
}

TEST_F(PitCounters, AnEdgeWhileMaskedIsSeenAfterwards) {
  wanted = false;
  program(0, 0, 50);
  advance(100);
  EXPECT_FALSE(irq0.asserted);
  wanted = true;
  pit.mask_changed();
  EXPECT_TRUE(irq0.asserted);
}

TEST_F(PitCounters, ModeWordAloneStopsTheTimer) {
  program(0, 2, 11932);
  pit.write(0x43, 0x30);
  EXPECT_FALSE(timer.armed);
}

TEST_F(PitCounters, TinyPeriodDoesNotFloodTheHost) {
  program(0, 2, 1);
  EXPECT_GE(timer.period, Nanoseconds{100'000});
}

TEST_F(PitCounters, ControlWordReadsAllOnes) { EXPECT_EQ(pit.read(0x43), 0xff); }

TEST(PitTime, ConvertsLongTimesExactly) {
  EXPECT_EQ(to_pit_ticks(seconds{1'000'000}), kPitHz * 1'000'000);
  EXPECT_EQ(from_pit_ticks(kPitHz * 1'000'000), seconds{1'000'000});
  EXPECT_EQ(to_pit_ticks(from_pit_ticks(12345)), 12345U);
  EXPECT_EQ(to_pit_ticks(milliseconds{-1}), 0U);
}

}  // namespace
}  // namespace pcivm::vmm
