// SPDX-License-Identifier: GPL-2.0-or-later
// Frames between a guest's queues and a tap, which is a socket pair here: it keeps the bounds of frames as well. And
// between them and a process at the other end of a stream.
#include "vmm/virtio/net.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <csignal>
#include <numeric>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/virtio/features.hpp"
#include "vmm/virtio/net_uapi.hpp"
#include "vmm/virtio/tap.hpp"

namespace pcivm::vmm {
namespace {

using test::Buffer;
using test::FailsWith;
using test::PackedDriver;
using test::RingDriver;
using test::SplitDriver;
using testing::HasSubstr;

constexpr std::uint64_t kData = 0x100000;

class Net : public testing::Test {
 protected:
  void SetUp() override {
    kernel_.on(TUNSETOFFLOAD, [this](FdRef, void* argument) {
      offloads_ = std::bit_cast<std::uintptr_t>(argument);
      return 0;
    });
    kernel_.on<ifreq>(TUNSETQUEUE, [this](ifreq& request) {
      queue_changes_.push_back(request.ifr_flags);
      return 0;
    });
  }
  void make(std::uint64_t features, unsigned pairs = 1) {
    NetConfig config;
    config.mac = MacAddress::parse("02:01:02:03:04:05").value();
    for (unsigned pair = 0; pair < pairs; ++pair) {
      int ends[2]{};
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
      config.taps.push_back(Fd::adopt(ends[0]));
      wires_.push_back(Fd::adopt(ends[1]));
    }
    make(std::move(config), features);
  }
  void make_with_process(std::uint64_t features) {
    (void)::signal(SIGPIPE, SIG_IGN);
    int ends[2]{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ASSERT_EQ(::fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    wires_.push_back(Fd::adopt(ends[1]));
    NetConfig config;
    config.stream = Fd::adopt(ends[0]);
    make(std::move(config), features);
  }
  void make(NetConfig config, std::uint64_t features) {
    const auto identity = VirtioNet::describe(config);
    signals_ =
        VirtioSignals::create("net", static_cast<unsigned>(identity.queues.size()), false, [this](const Error& error) {
          reports_.push_back(error.text());
        }).value();
    device_ =
        VirtioNet::create(std::move(config), {.port = kernel_, .loop = *loop_, .memory = memory_, .signals = *signals_})
            .value();
    signals_->use_msix(true);
    for (unsigned queue = 0; queue < identity.queues.size(); ++queue) {
      signals_->set_queue_vector(queue, static_cast<std::uint16_t>(queue));
    }
    features_ = features;
  }
  void start(unsigned queue) { ASSERT_THAT(device_->start_queue(queue, driver_.setup(), features_), test::IsOk()); }
  bool answered(unsigned queue) {
    pollfd entry{.fd = signals_->vector_event(queue).number(), .events = POLLIN, .revents = 0};
    if (::poll(&entry, 1, 5000) != 1) return false;
    (void)drain_eventfd(signals_->vector_event(queue));
    return true;
  }
  void arrive(std::size_t length) {
    std::vector<std::uint8_t> frame(length);
    std::iota(frame.begin(), frame.end(), std::uint8_t{0});
    ASSERT_EQ(::write(wires_[0].ref().number(), frame.data(), length), static_cast<ssize_t>(length));
  }
  std::uint16_t link_status() {
    std::uint16_t status{};
    device_->read_config(6, std::as_writable_bytes(std::span{&status, 1}));
    return status;
  }
  bool broken() {
    for (int attempt = 0; attempt < 500 && !signals_->is_broken(); ++attempt) ::usleep(10'000);
    return signals_->is_broken();
  }

  test::FakeIoctls kernel_;
  unsigned long offloads_{};
  std::vector<int> queue_changes_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  GuestMemory memory_ = test::ring_memory();
  SplitDriver driver_{memory_, 16};
  std::vector<std::string> reports_;
  std::vector<Fd> wires_;
  std::uint64_t features_{};
  std::unique_ptr<VirtioSignals> signals_;
  std::unique_ptr<VirtioDevice> device_;
};

constexpr std::uint64_t kMergeable = virtio_features::bit(net_uapi::kMergeableBuffers);

TEST_F(Net, SendsAFrameFromScatteredBuffers) {
  make(0);
  driver_.offer({{kData, 5, false}, {kData + 100, 7, false}, {kData + 200, 60, false}}, false);
  driver_.poke<std::uint8_t>(kData + 200, 0x5a);
  start(1);
  ASSERT_TRUE(answered(1));
  std::array<std::uint8_t, 200> frame{};
  ASSERT_EQ(::read(wires_[0].ref().number(), frame.data(), frame.size()), 72);
  EXPECT_EQ(frame[net_uapi::kHeader], 0x5a);
  EXPECT_EQ(driver_.collect().size(), 1U);
}

TEST_F(Net, ReceivesIntoAsManyBuffersAsAFrameTakes) {
  make(kMergeable);
  for (unsigned index = 0; index < 8; ++index) driver_.offer({{kData + 0x1000 * index, 100, true}}, false);
  start(0);
  arrive(250);
  ASSERT_TRUE(answered(0));
  const auto used = driver_.collect();
  ASSERT_EQ(used.size(), 3U);
  EXPECT_EQ(used[0].length, 100U);
  EXPECT_EQ(used[2].length, 50U);
  EXPECT_EQ(driver_.peek<std::uint16_t>(kData + net_uapi::kBufferCount), 3U);
  EXPECT_EQ(driver_.peek<std::uint8_t>(kData + 0x2000 + 49), 249U);
}

TEST_F(Net, ReceivesStraightIntoLargeBuffers) {
  make(kMergeable);
  driver_.offer({{kData, 0x10000, true}, {kData + 0x20000, 0x1000, true}}, false);
  start(0);
  arrive(1000);
  ASSERT_TRUE(answered(0));
  EXPECT_EQ(driver_.peek<std::uint16_t>(kData + net_uapi::kBufferCount), 1U);
  EXPECT_EQ(driver_.peek<std::uint8_t>(kData + 999), 999U % 256);
}

TEST_F(Net, LosesAFrameThatNobodyHasRoomFor) {
  make(0);
  driver_.offer({{kData, 100, true}}, false);
  start(0);
  arrive(101);
  arrive(100);
  ASSERT_TRUE(answered(0));
  const auto used = driver_.collect();
  ASSERT_EQ(used.size(), 1U);
  EXPECT_EQ(used[0].length, 100U);
}

TEST_F(Net, FramesWaitForBuffers) {
  make(kMergeable);
  start(0);
  arrive(64);
  ::usleep(10'000);
  driver_.offer({{kData, 2000, true}}, false);
  signal_eventfd(signals_->doorbell(0));
  EXPECT_TRUE(answered(0));
  EXPECT_EQ(driver_.collect().size(), 1U);
}

TEST_F(Net, BuffersWithoutRoomForAHeaderNeedReset) {
  make(kMergeable);
  driver_.offer({{kData, 11, true}}, false);
  start(0);
  arrive(64);
  EXPECT_TRUE(broken());
}

TEST_F(Net, FramesWithoutAHeaderNeedReset) {
  make(0);
  driver_.offer({{kData, 11, false}}, false);
  start(1);
  EXPECT_TRUE(broken());
}

TEST_F(Net, StoppedQueueTouchesNothing) {
  make(kMergeable);
  for (unsigned index = 0; index < 8; ++index) driver_.offer({{kData + 0x1000 * index, 100, true}}, false);
  start(0);
  arrive(64);
  ASSERT_TRUE(answered(0));
  device_->stop_queue(0);
  (void)driver_.collect();
  arrive(64);
  ::usleep(20'000);
  EXPECT_TRUE(driver_.collect().empty());
}

TEST_F(Net, TellsTheTapWhatTheDriverTakes) {
  make(virtio_features::bit(net_uapi::kGuestCsum) | virtio_features::bit(net_uapi::kGuestTso4));
  start(0);
  EXPECT_EQ(offloads_, static_cast<unsigned long>(TUN_F_CSUM | TUN_F_TSO4));
}

TEST_F(Net, AttachesAsManyQueuesAsTheDriverAsksFor) {
  make(virtio_features::bit(net_uapi::kMultiQueue) | virtio_features::bit(net_uapi::kControlQueue), 2);
  device_->reset();
  EXPECT_EQ(queue_changes_.back(), IFF_DETACH_QUEUE);
  const auto ask = [this](std::uint8_t group, std::uint16_t pairs) {
    driver_.poke<std::uint8_t>(kData, group);
    driver_.poke<std::uint8_t>(kData + 1, 0);
    driver_.poke(kData + 2, pairs);
    driver_.poke<std::uint8_t>(kData + 8, 0xee);
    driver_.offer({{kData, 4, false}, {kData + 8, 1, true}}, false);
    signal_eventfd(signals_->doorbell(4));
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    (void)loop_->run();
    return driver_.peek<std::uint8_t>(kData + 8);
  };
  start(4);
  EXPECT_EQ(ask(net_uapi::kClassMultiQueue, 2), net_uapi::kOk);
  EXPECT_EQ(queue_changes_.back(), IFF_ATTACH_QUEUE);
  const auto changes = queue_changes_.size();
  EXPECT_EQ(ask(net_uapi::kClassMultiQueue, 3), net_uapi::kError);
  EXPECT_EQ(ask(net_uapi::kClassMultiQueue, 0), net_uapi::kError);
  EXPECT_EQ(ask(77, 1), net_uapi::kError);
  EXPECT_EQ(queue_changes_.size(), changes);
}

TEST_F(Net, OffersNoOffloadsWithAProcess) {
  make_with_process(0);
  const auto features = device_->identity().features;
  for (const auto feature :
       {net_uapi::kCsum, net_uapi::kGuestCsum, net_uapi::kGuestTso4, net_uapi::kHostTso4, net_uapi::kMultiQueue}) {
    EXPECT_FALSE(virtio_features::has(features, feature)) << feature;
  }
  for (const auto feature : {net_uapi::kMac, net_uapi::kStatus, net_uapi::kMergeableBuffers}) {
    EXPECT_TRUE(virtio_features::has(features, feature)) << feature;
  }
  EXPECT_EQ(link_status(), net_uapi::kLinkUp);
}

TEST_F(Net, CarriesFramesOfAProcessBothWays) {
  make_with_process(kMergeable);
  driver_.offer({{kData, 2000, true}}, false);
  driver_.poke<std::uint8_t>(kData, 0xee);
  start(0);
  std::array<std::uint8_t, 104> came{0, 0, 0, 100, 0xaa, 0xbb};
  ASSERT_EQ(::write(wires_[0].ref().number(), came.data(), came.size()), 104);
  ASSERT_TRUE(answered(0));
  EXPECT_EQ(driver_.collect().at(0).length, 100 + net_uapi::kHeader);
  EXPECT_EQ(driver_.peek<std::uint8_t>(kData), 0) << "flags of the header";
  EXPECT_EQ(driver_.peek<std::uint16_t>(kData + net_uapi::kBufferCount), 1);
  EXPECT_EQ(driver_.peek<std::uint16_t>(kData + net_uapi::kHeader), 0xbbaa);
  device_->stop_queue(0);

  SplitDriver sender{memory_, 16, 0x80000};
  sender.poke<std::uint8_t>(kData + 20, 0x5a);
  sender.offer({{kData, 12, false}, {kData + 20, 60, false}}, false);
  ASSERT_THAT(device_->start_queue(1, sender.setup(), features_), test::IsOk());
  ASSERT_TRUE(answered(1));
  std::array<std::uint8_t, 100> went{};
  ASSERT_EQ(::read(wires_[0].ref().number(), went.data(), went.size()), 64);
  EXPECT_THAT(std::span{went}.first(5), testing::ElementsAre(0, 0, 0, 60, 0x5a));
  EXPECT_TRUE(reports_.empty());
}

TEST_F(Net, KeepsAFrameOfAProcessUntilThereAreBuffersForIt) {
  make_with_process(kMergeable);
  for (unsigned index = 0; index < 2; ++index) driver_.offer({{kData + 0x1000 * index, 100, true}}, false);
  start(0);
  std::array<std::uint8_t, 304> came{0, 0, 1, 44};
  ASSERT_EQ(::write(wires_[0].ref().number(), came.data(), came.size()), 304);
  ::usleep(10'000);
  EXPECT_TRUE(driver_.collect().empty());
  for (unsigned index = 2; index < 4; ++index) driver_.offer({{kData + 0x1000 * index, 100, true}}, false);
  signal_eventfd(signals_->doorbell(0));
  ASSERT_TRUE(answered(0));
  EXPECT_EQ(driver_.collect().size(), 4U);
}

TEST_F(Net, LosesAFrameOfAProcessThatTheWholeRingHasNoRoomFor) {
  make_with_process(kMergeable);
  for (unsigned index = 0; index < 16; ++index) driver_.offer({{kData + 0x1000 * index, 20, true}}, false);
  start(0);
  std::array<std::uint8_t, 404> large{0, 0, 1, 144};
  ASSERT_EQ(::write(wires_[0].ref().number(), large.data(), large.size()), 404);
  std::array<std::uint8_t, 64> small{0, 0, 0, 60};
  ASSERT_EQ(::write(wires_[0].ref().number(), small.data(), small.size()), 64);
  ASSERT_TRUE(answered(0));
  EXPECT_EQ(driver_.collect().size(), 4U);
}

TEST_F(Net, GoesOnSendingWhenTheProcessReadsAgain) {
  make_with_process(0);
  constexpr unsigned kRounds = 100;
  constexpr std::uint32_t kFrame = 60'000;
  start(1);
  std::size_t wanted = 0;
  std::size_t got = 0;
  std::vector<std::uint8_t> data(1U << 20U);
  for (unsigned round = 0; round < kRounds; ++round) {
    driver_.offer({{kData, kFrame + 12, false}}, false);
    signal_eventfd(signals_->doorbell(1));
    wanted += kFrame + 4;
    if (round % 8 != 7) continue;  // the socket holds less
    while (got < wanted) {
      const auto count = ::read(wires_[0].ref().number(), data.data(), data.size());
      ASSERT_GT(count, 0);
      got += static_cast<std::size_t>(count);
    }
    EXPECT_EQ(got, wanted);
  }
}

TEST_F(Net, TakesTheLinkDownWhenTheProcessIsGone) {
  make_with_process(kMergeable);
  signals_->set_config_vector(2);
  driver_.offer({{kData, 2000, true}}, false);
  start(0);
  wires_.clear();
  ASSERT_TRUE(answered(2)) << "the configuration changed";
  EXPECT_EQ(link_status(), 0);
  EXPECT_THAT(reports_, testing::ElementsAre(HasSubstr("the process that carries its frames is gone")));
  // What the guest sends is lost, and its buffers come back.
  SplitDriver sender{memory_, 16, 0x80000};
  sender.offer({{kData, 100, false}}, false);
  ASSERT_THAT(device_->start_queue(1, sender.setup(), features_), test::IsOk());
  EXPECT_TRUE(answered(1));
  EXPECT_EQ(reports_.size(), 1U);
}

TEST(Tap, IsNeverMadeByOpeningIt) {
  test::TempRoot tree;
  tree.file("/sys/class/net/lab0/tun_flags", "0x1002\n");
  tree.file("/sys/class/net/eth0/mtu", "1500\n");
  tree.file("/sys/class/net/tun0/tun_flags", "0x1\n");
  tree.file("/dev/net/tun", "");
  test::FakeIoctls kernel;
  kernel.always(TUNSETVNETHDRSZ, 0);
  int outcome = 0;
  kernel.on<ifreq>(TUNSETIFF, [&](ifreq& request) {
    EXPECT_STREQ(request.ifr_name, "lab0");
    EXPECT_EQ(request.ifr_flags & IFF_MULTI_QUEUE, 0);
    return outcome;
  });
  const auto open = [&](const std::string& name, unsigned queues = 1) {
    return open_tap(tree.root(), kernel, name, queues);
  };
  EXPECT_THAT(open("lab0"), test::IsOk());
  EXPECT_THAT(open("lab1"), FailsWith(Errc::not_found, HasSubstr("no interface 'lab1'")));
  EXPECT_THAT(open("eth0"), FailsWith(Errc::invalid, HasSubstr("no tap")));
  EXPECT_THAT(open("tun0"), FailsWith(Errc::invalid, HasSubstr("tun interface")));
  EXPECT_THAT(open("lab0", 2), FailsWith(Errc::invalid, HasSubstr("one queue, 2 wanted")));
  for (const auto* name : {"", "../lab0", ".", "a-name-that-is-too-long"}) {
    EXPECT_THAT(open(name), FailsWith(Errc::invalid, HasSubstr("no name"))) << name;
  }
  outcome = -EBUSY;
  EXPECT_THAT(open("lab0"), FailsWith(Errc::busy));
}

}  // namespace
}  // namespace pcivm::vmm
