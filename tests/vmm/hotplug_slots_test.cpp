// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/hotplug_slots.hpp"

#include <gmock/gmock.h>

#include <array>

namespace pcivm::vmm {
namespace {

class FakeLine final : public InterruptLine {
 public:
  void set(bool asserted) override { up = asserted; }
  bool up{};
};

class Hotplug : public testing::Test {
 protected:
  static constexpr std::uint32_t kThere = 1U << 1U | 1U << 16U | 1U << 17U;

  std::uint32_t read(unsigned offset, std::size_t width = 4) {
    std::array<std::byte, 8> bytes{};
    slots_.read(offset, std::span{bytes}.first(width));
    return static_cast<std::uint32_t>(load_le(std::span{bytes}.first(width)));
  }
  void write(unsigned offset, std::uint32_t value, std::size_t width = 4) {
    std::array<std::byte, 8> bytes{};
    store_le(bytes, value);
    slots_.write(offset, std::span{bytes}.first(width));
  }

  FakeLine line_;
  int said_{};
  HotplugSlots slots_{kThere, line_, [this] { ++said_; }};
};

TEST_F(Hotplug, KeepsItsLineUpUntilTheGuestHasReadAll) {
  EXPECT_FALSE(line_.up);
  slots_.tell_plugged(16);
  slots_.ask_back(1);
  EXPECT_TRUE(line_.up);
  EXPECT_EQ(read(HotplugSlots::kPluggedOffset), 1U << 16U);
  EXPECT_TRUE(line_.up);
  EXPECT_EQ(read(HotplugSlots::kWantedOffset), 1U << 1U);
  EXPECT_FALSE(line_.up);
  EXPECT_EQ(read(HotplugSlots::kPluggedOffset), 0U);
  EXPECT_EQ(read(HotplugSlots::kWantedOffset), 0U);
}

TEST_F(Hotplug, TellsOfSlotsThatAreThereOnly) {
  slots_.tell_plugged(2);
  slots_.ask_back(31);
  slots_.ask_back(32);
  slots_.tell_plugged(~0U);
  EXPECT_FALSE(line_.up);
  write(HotplugSlots::kEjectOffset, 1U << 2U);
  write(HotplugSlots::kAnswerOffset, 2U << 24U | 3U << 16U);
  write(HotplugSlots::kAnswerOffset, 0xffffffff);
  EXPECT_EQ(said_, 0);
  EXPECT_EQ(slots_.take_news().ejected, 0U);
}

TEST_F(Hotplug, HearsWhatTheGuestLetsGoOfOnceUntilItIsTaken) {
  write(HotplugSlots::kEjectOffset, 1U << 16U);
  write(HotplugSlots::kEjectOffset, 1U << 17U | 1U << 30U);
  write(HotplugSlots::kAnswerOffset, 16U << 24U | 3U << 16U | 0x82U);
  write(HotplugSlots::kAnswerOffset, 1U << 24U | 1U << 16U);
  write(HotplugSlots::kAnswerOffset, 16U << 24U | 3U << 16U);
  EXPECT_EQ(said_, 1) << "a guest cannot fill the loop";
  const auto news = slots_.take_news();
  EXPECT_EQ(news.ejected, 1U << 16U | 1U << 17U);
  EXPECT_EQ(news.answers[16], (HotplugSlots::Answer{.event = 3, .status = 0})) << "the last word counts";
  EXPECT_EQ(news.answers[1], (HotplugSlots::Answer{.event = 1, .status = 0}));
  EXPECT_FALSE(news.answers[17]);
  write(HotplugSlots::kEjectOffset, 1U << 16U);
  EXPECT_EQ(said_, 2);
}

TEST_F(Hotplug, TakesWholeDwordsOnly) {
  slots_.tell_plugged(16);
  for (const auto width : {1U, 2U, 8U}) {
    EXPECT_EQ(read(HotplugSlots::kPluggedOffset, width), width == 1 ? 0xffU : width == 2 ? 0xffffU : 0xffffffffU);
    write(HotplugSlots::kEjectOffset, 1U << 16U, width);
  }
  EXPECT_EQ(read(2), 0xffffffffU);
  EXPECT_EQ(read(13), 0xffffffffU);
  EXPECT_TRUE(line_.up) << "nothing was read";
  EXPECT_EQ(said_, 0);
  EXPECT_EQ(read(HotplugSlots::kEjectOffset), 0U);
  EXPECT_EQ(read(HotplugSlots::kAnswerOffset), 0U);
}

TEST_F(Hotplug, ForgetsWithTheGuestsReboot) {
  slots_.tell_plugged(16);
  slots_.ask_back(17);
  write(HotplugSlots::kEjectOffset, 1U << 1U);
  slots_.reset();
  EXPECT_FALSE(line_.up);
  EXPECT_EQ(read(HotplugSlots::kWantedOffset), 0U);
  EXPECT_EQ(slots_.take_news().ejected, 0U) << "said by a guest that is gone";
}

TEST_F(Hotplug, WithdrawsWhatWasNotRead) {
  slots_.ask_back(16);
  slots_.ask_back(17);
  slots_.withdraw(16);
  EXPECT_TRUE(line_.up);
  EXPECT_EQ(read(HotplugSlots::kWantedOffset), 1U << 17U);
}

}  // namespace
}  // namespace pcivm::vmm
