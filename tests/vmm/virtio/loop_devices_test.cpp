// SPDX-License-Identifier: GPL-2.0-or-later
// Devices that the event loop serves: console, balloon, random numbers.
#include "vmm/virtio/console.hpp"

#include <gmock/gmock.h>
#include <linux/virtio_console.h>

#include <string>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/virtio/balloon.hpp"
#include "vmm/virtio/random_source.hpp"

namespace pcivm::vmm {
namespace {

using test::SplitDriver;

constexpr std::uint64_t kData = 0x100000;

class LoopDevices : public testing::Test {
 protected:
  void make_signals(unsigned queues) {
    signals_ = VirtioSignals::create("device", queues, true, [](const Error&) {}).value();
    signals_->use_msix(true);
    for (unsigned queue = 0; queue < queues; ++queue) signals_->set_queue_vector(queue, 0);
  }
  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    ASSERT_THAT(loop_->run(), test::IsOk());
  }
  bool interrupted() { return drain_eventfd(signals_->vector_event(0)) != 0; }

  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  GuestMemory memory_ = test::ring_memory();
  SplitDriver driver_{memory_, 8};
  std::unique_ptr<VirtioSignals> signals_;
};

class ConsoleDevice : public LoopDevices {
 protected:
  void SetUp() override {
    make_signals(2);
    device_ = VirtioConsole::create(*loop_, memory_, *signals_,
                                    {.output =
                                         [this](std::span<const std::byte> data) {
                                           for (const auto byte : data) said_ += static_cast<char>(byte);
                                         },
                                     .can_receive = [this] { ++room_; }})
                  .value();
  }
  std::string said_;
  unsigned room_{};
  std::unique_ptr<VirtioConsole> device_;
};

TEST_F(ConsoleDevice, SaysWhatTheGuestWrites) {
  driver_.poke<std::uint32_t>(kData, 0x6c6c6568);
  driver_.poke<std::uint8_t>(kData + 100, 'o');
  driver_.offer({{kData, 4, false}, {kData + 100, 1, false}}, false);
  ASSERT_THAT(device_->start_queue(1, driver_.setup(), 0), test::IsOk());
  turn();
  EXPECT_EQ(said_, "hello");
  EXPECT_EQ(driver_.collect().size(), 1U);
  EXPECT_TRUE(interrupted());
}

TEST_F(ConsoleDevice, TakesNoMoreInputThanThereAreBuffersFor) {
  const std::vector<std::byte> input(10, std::byte{'x'});
  EXPECT_EQ(device_->receive(input), 0U) << "no driver yet";
  driver_.offer({{kData, 3, true}}, false);
  driver_.offer({{kData + 8, 4, true}}, false);
  ASSERT_THAT(device_->start_queue(0, driver_.setup(), 0), test::IsOk());
  turn();
  EXPECT_GE(room_, 1U);
  EXPECT_EQ(device_->receive(input), 7U);
  const auto used = driver_.collect();
  ASSERT_EQ(used.size(), 2U);
  EXPECT_EQ(used[1].length, 4U);
  EXPECT_TRUE(interrupted());
}

TEST_F(ConsoleDevice, SaysEmergenciesWithoutAQueue) {
  const std::array bytes{std::byte{'!'}, std::byte{0}, std::byte{0}, std::byte{0}};
  device_->write_config(offsetof(virtio_console_config, emerg_wr), bytes);
  device_->write_config(0, bytes);
  EXPECT_EQ(said_, "!");
}

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
