// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/rtc.hpp"

#include <gtest/gtest.h>

#include <array>

#include "tests/vmm/legacy_fakes.hpp"

namespace pcivm::vmm {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class RtcRegisters : public testing::Test {
 protected:
  RtcRegisters() { rtc.use(periodic, second); }
  std::uint8_t get(std::uint8_t index) {
    rtc.write(0x70, index);
    return rtc.read(0x71);
  }
  void put(std::uint8_t index, std::uint8_t value) {
    rtc.write(0x70, index);
    rtc.write(0x71, value);
  }
  test::FakeTime time;
  test::FakeLine line;
  test::FakeTimer periodic;
  test::FakeTimer second;
  Rtc rtc{line, time.clocks()};
};

TEST_F(RtcRegisters, ShowTheHostsTimeInBcd) {
  EXPECT_EQ(get(0), 0x20);
  EXPECT_EQ(get(2), 0x13);
  EXPECT_EQ(get(4), 0x22);
  EXPECT_EQ(get(6), 3);  // Tuesday
  EXPECT_EQ(get(7), 0x14);
  EXPECT_EQ(get(8), 0x11);
  EXPECT_EQ(get(9), 0x23);
  EXPECT_EQ(get(0x32), 0x20);
  EXPECT_EQ(get(13), 0x80);
}

TEST_F(RtcRegisters, ShowBinaryAndTwelveHoursWhenAsked) {
  put(11, 0x04);
  EXPECT_EQ(get(0), 20);
  EXPECT_EQ(get(4), 0x80 | 10);
  EXPECT_EQ(get(9), 23);
  time.advance(std::chrono::hours{2});  // 00:13 the next day
  EXPECT_EQ(get(4), 12);
}

TEST_F(RtcRegisters, UpdateInProgressClearsWithTheSecond) {
  EXPECT_EQ(get(10), 0x26);
  time.advance(seconds{1} - microseconds{200});
  EXPECT_EQ(get(10), 0xa6);
  time.advance(microseconds{200});
  EXPECT_EQ(get(10), 0x26);
  EXPECT_EQ(get(0), 0x21);
}

// As Linux' mc146818_set_time: SET, divider reset, registers, and both back.
TEST_F(RtcRegisters, GuestSetsItsOwnTime) {
  put(11, 0x82);
  put(10, 0x76);
  put(9, 0x30);
  put(8, 0x02);
  put(7, 0x28);
  put(4, 0x23);
  put(2, 0x59);
  put(0, 0x58);
  time.advance(seconds{100});
  EXPECT_EQ(get(0), 0x58) << "stopped";
  put(11, 0x02);
  put(10, 0x26);
  time.advance(seconds{3});
  EXPECT_EQ(get(0), 0x01);
  EXPECT_EQ(get(7), 0x01);
  EXPECT_EQ(get(8), 0x03);
  EXPECT_EQ(get(9), 0x30);
}

TEST_F(RtcRegisters, NonsenseDatesBecomePossibleOnes) {
  put(11, 0x82);
  for (const auto index : std::to_array<std::uint8_t>({0, 2, 4, 7, 8, 9, 0x32})) put(index, 0xff);
  put(11, 0x02);
  EXPECT_EQ(get(0), 0x59);
  EXPECT_EQ(get(4), 0x23);
  EXPECT_EQ(get(7), 0x31);
  EXPECT_EQ(get(8), 0x12);
  EXPECT_EQ(get(0x32), 0x20);
}

TEST_F(RtcRegisters, RunningClockTakesASingleRegister) {
  put(0, 0x40);
  time.advance(seconds{1});
  EXPECT_EQ(get(0), 0x41);
  EXPECT_EQ(get(2), 0x13);
}

TEST_F(RtcRegisters, PeriodicInterruptAtItsRate) {
  put(11, 0x42);
  ASSERT_TRUE(periodic.armed);
  EXPECT_EQ(periodic.period, Nanoseconds{976562});
  time.advance(milliseconds{1});
  rtc.periodic_tick();
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(12), 0xc0);
  EXPECT_FALSE(line.asserted) << "reading C ends the interrupt";
  EXPECT_EQ(get(12), 0x00);
}

TEST_F(RtcRegisters, RatesFollowTheTable) {
  put(11, 0x42);
  put(10, 0x21);
  EXPECT_EQ(periodic.period, Nanoseconds{3'906'250});
  put(10, 0x23);
  EXPECT_EQ(periodic.period, Nanoseconds{122'070});
  put(10, 0x2f);
  EXPECT_EQ(periodic.period, Nanoseconds{500'000'000});
  put(10, 0x20);
  EXPECT_FALSE(periodic.armed);
}

TEST_F(RtcRegisters, UpdateInterruptComesEachSecond) {
  time.advance(milliseconds{300});
  put(11, 0x12);
  ASSERT_TRUE(second.armed);
  EXPECT_EQ(second.first, milliseconds{700});
  time.advance(milliseconds{700});
  rtc.second_tick();
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(12) & 0x90, 0x90);
}

TEST_F(RtcRegisters, AlarmComesAtItsTimeAndNotBefore) {
  put(1, 0x25);
  put(3, 0x13);
  put(5, 0x22);
  put(11, 0x22);
  time.advance(seconds{4});
  rtc.second_tick();
  EXPECT_FALSE(line.asserted);
  time.advance(seconds{1});
  rtc.second_tick();
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(get(12) & 0xb0, 0xb0);
}

TEST_F(RtcRegisters, AlarmWithoutCareMatchesEverySecond) {
  put(1, 0xff);
  put(3, 0xc0);
  put(5, 0xff);
  put(11, 0x22);
  time.advance(seconds{1});
  rtc.second_tick();
  EXPECT_TRUE(line.asserted);
}

TEST_F(RtcRegisters, AlarmThatPassedUnseenIsFlagged) {
  put(1, 0x25);
  put(3, 0x13);
  put(5, 0x22);
  time.advance(std::chrono::hours{1000});
  EXPECT_EQ(get(12) & 0xa0, 0x20) << "flag without interrupt";
}

TEST_F(RtcRegisters, NoTimerRunsWithoutAnEnabledInterrupt) {
  put(11, 0x02);
  EXPECT_FALSE(periodic.armed);
  EXPECT_FALSE(second.armed);
}

TEST_F(RtcRegisters, PlainBytesKeepWhatIsWrittenAcrossReset) {
  put(0x0f, 0x0a);
  put(0x7f, 0x55);
  rtc.reset();
  EXPECT_EQ(get(0x0f), 0x0a);
  EXPECT_EQ(get(0x7f), 0x55);
}

TEST_F(RtcRegisters, NmiBitIsNotPartOfTheIndex) {
  put(0x8f, 0x42);
  EXPECT_EQ(get(0x0f), 0x42);
  EXPECT_EQ(rtc.read(0x70), 0xff);
}

TEST_F(RtcRegisters, ClockSetBackOnTheHostRaisesNothing) {
  time.wall -= seconds{3600};
  EXPECT_EQ(get(12), 0x00);
  time.advance(seconds{1});
  EXPECT_EQ(get(12) & 0x10, 0x10);
}

TEST(RtcTime, CalendarGoesBothWays) {
  for (const std::int64_t time : {0L, 951'782'399L, 951'782'400L, 1'709'164'800L, 4'102'444'799L}) {
    EXPECT_EQ(from_calendar(to_calendar(seconds{time})), seconds{time});
  }
  EXPECT_EQ(to_calendar(seconds{951'782'400}),
            (CalendarTime{.second = 0, .minute = 0, .hour = 0, .day = 29, .month = 2, .year = 2000}));
}

TEST(RtcTime, HoursGoBothWaysInBothForms) {
  for (const bool hours24 : {true, false}) {
    for (unsigned hour = 0; hour < 24; ++hour) {
      const RtcFormat format{.binary = false, .hours24 = hours24};
      EXPECT_EQ(decode_hour(encode_hour(hour, format), format), hour);
    }
  }
}

}  // namespace
}  // namespace pcivm::vmm
