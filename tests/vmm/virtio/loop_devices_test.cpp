// SPDX-License-Identifier: GPL-2.0-or-later
// Devices that the event loop serves: balloon, random numbers.
#include "vmm/virtio/balloon.hpp"

#include <gmock/gmock.h>

#include <string>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/loop_devices.hpp"
#include "vmm/virtio/random_source.hpp"

namespace pcivm::vmm {
namespace {

using test::LoopDevices;

constexpr std::uint64_t kData = 0x100000;

TEST_F(LoopDevices, BalloonTakesReportedPages) {
  make_signals(3);
  const auto device = VirtioBalloon::create(*loop_, memory_, *signals_).value();
  driver_.poke<std::uint64_t>(0x1000ff8, 1);
  driver_.poke<std::uint64_t>(0x1001000, 1);
  driver_.poke<std::uint64_t>(0x1003000, 1);
  driver_.offer({{0x1000ff8, 0x2010, true}}, false);  // no whole page at either end
  ASSERT_THAT(device->start_queue(2, driver_.setup(), 0), test::IsOk());
  turn();
  EXPECT_EQ(driver_.peek<std::uint64_t>(0x1000ff8), 1U);
  EXPECT_EQ(driver_.peek<std::uint64_t>(0x1001000), 0U);
  EXPECT_EQ(driver_.peek<std::uint64_t>(0x1003000), 1U);
}

TEST_F(LoopDevices, BalloonTakesInflatedPagesOfRamOnly) {
  make_signals(3);
  const auto device = VirtioBalloon::create(*loop_, memory_, *signals_).value();
  driver_.poke<std::uint64_t>(0x1005000, 1);
  driver_.poke<std::uint32_t>(kData, 0x1005);
  driver_.poke<std::uint32_t>(kData + 4, 0xffffffff);
  driver_.poke<std::uint32_t>(kData + 8, 0x200);
  driver_.offer({{kData, 11, false}}, false);
  ASSERT_THAT(device->start_queue(0, driver_.setup(), 0), test::IsOk());
  turn();
  EXPECT_EQ(driver_.peek<std::uint64_t>(0x1005000), 0U);
  EXPECT_FALSE(signals_->is_broken());
}

TEST_F(LoopDevices, RandomNumbersFillABuffer) {
  make_signals(1);
  const auto device = VirtioRandomSource::create(*loop_, memory_, *signals_).value();
  driver_.offer({{kData, 64, true}}, false);
  driver_.offer({{kData + 0x1000, 0x10000, true}}, false);
  driver_.offer({{kData, 64, false}}, false);
  ASSERT_THAT(device->start_queue(0, driver_.setup(), 0), test::IsOk());
  turn();
  const auto used = driver_.collect();
  ASSERT_EQ(used.size(), 3U);
  EXPECT_EQ(used[0].length, 64U);
  EXPECT_EQ(used[1].length, 256U) << "no more at a time";
  EXPECT_EQ(used[2].length, 0U) << "nothing to write to";
  std::uint64_t any = 0;
  for (unsigned index = 0; index < 8; ++index) any |= driver_.peek<std::uint64_t>(kData + 8 * index);
  EXPECT_NE(any, 0U);
}

}  // namespace
}  // namespace pcivm::vmm
