// SPDX-License-Identifier: GPL-2.0-or-later
// The vsock device over a vhost-vsock that notes what it is told.
#include "vmm/virtio/vsock.hpp"

#include <gmock/gmock.h>
#define VIRTIO_RING_NO_LEGACY  // no C++
#include <linux/vhost.h>

#include <cerrno>
#include <map>
#include <string>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "tests/vmm/legacy_fakes.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::FailsWith;
using testing::HasSubstr;

class Vsock : public testing::Test {
 protected:
  void SetUp() override {
    kernel_.always(VHOST_SET_OWNER, 0);
    kernel_.on<std::uint64_t>(VHOST_GET_FEATURES, [this](std::uint64_t& features) {
      features = known_;
      return 0;
    });
    for (const auto request : {VHOST_SET_FEATURES, VHOST_SET_VRING_ADDR, VHOST_SET_VRING_BASE, VHOST_SET_VRING_KICK})
      kernel_.always(request, 0);
    kernel_.always(_IOW(VHOST_VIRTIO, 0x03, std::uint64_t), 0);
    kernel_.on<vhost_vring_state>(VHOST_SET_VRING_NUM, [this](vhost_vring_state& state) {
      if (running_) return -EBUSY;
      sizes_[state.index] = state.num;
      return 0;
    });
    kernel_.on<vhost_vring_file>(VHOST_SET_VRING_CALL, [this](vhost_vring_file& file) {
      calls_[file.index] = file.fd;
      return 0;
    });
    kernel_.on<int>(VHOST_VSOCK_SET_RUNNING, [this](int& on) {
      running_ = on != 0;
      ++changes_;
      return 0;
    });
    signals_ =
        VirtioSignals::create("vsock", 3, false, [this](const Error& error) { reports_.push_back(error.text()); })
            .value();
    signals_->connect(line_);
  }
  void make() {
    device_ = VirtioVsock::create({.vhost = make_eventfd().value(), .cid = 0x12345}, kernel_, *loop_, memory_,
                                  *signals_)
                  .value();
  }
  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    ASSERT_THAT(loop_->run(), pcivm::test::IsOk());
  }

  std::uint64_t known_ = ~0ULL;
  bool running_{};
  unsigned changes_{};
  std::map<unsigned, unsigned> sizes_;
  std::map<unsigned, int> calls_;
  pcivm::test::FakeIoctls kernel_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  GuestMemory memory_ = pcivm::test::ring_memory();
  pcivm::test::SplitDriver driver_{memory_, 8};
  test::FakeLine line_;
  std::vector<std::string> reports_;
  std::unique_ptr<VirtioSignals> signals_;
  std::unique_ptr<VirtioDevice> device_;
};

TEST_F(Vsock, TellsTheGuestItsAddress) {
  make();
  std::array<std::byte, 8> bytes{};
  device_->read_config(0, bytes);
  EXPECT_EQ(load_le(bytes), 0x12345U);
  std::array<std::byte, 1> one{};
  device_->read_config(1, one);
  EXPECT_EQ(one[0], std::byte{0x23});
}

TEST_F(Vsock, RunsWhileBothQueuesAreThere) {
  make();
  ASSERT_THAT(device_->start_queue(0, driver_.setup(), 0), pcivm::test::IsOk());
  EXPECT_FALSE(running_);
  ASSERT_THAT(device_->start_queue(2, driver_.setup(), 0), pcivm::test::IsOk());
  EXPECT_FALSE(running_);
  ASSERT_THAT(device_->start_queue(1, driver_.setup(), 0), pcivm::test::IsOk());
  EXPECT_TRUE(running_);
  EXPECT_EQ(sizes_.size(), 2U) << "events are not the kernel's";
  EXPECT_NE(drain_eventfd(signals_->doorbell(1)), 0U) << "what came before is looked at";
  // One queue is reset and comes again; the other one keeps its place.
  device_->stop_queue(1);
  EXPECT_FALSE(running_);
  ASSERT_THAT(device_->start_queue(1, driver_.setup(), 0), pcivm::test::IsOk());
  EXPECT_TRUE(running_);
  EXPECT_EQ(kernel_.count(VHOST_SET_FEATURES), 1U);
  for (const unsigned queue : {0U, 1U, 2U, 0U}) device_->stop_queue(queue);
  EXPECT_FALSE(running_);
  EXPECT_EQ(changes_, 4U) << "stopped once each time";
}

TEST_F(Vsock, RaisesTheLineForADriverWithoutMsix) {
  make();
  ASSERT_THAT(device_->start_queue(0, driver_.setup(), 0), pcivm::test::IsOk());
  ASSERT_THAT(device_->start_queue(1, driver_.setup(), 0), pcivm::test::IsOk());
  signal_eventfd(FdRef{calls_.at(0)});
  turn();
  EXPECT_EQ(signals_->take_isr(), 1U);
}

TEST_F(Vsock, HandsTheKernelTheVectorWithMsix) {
  make();
  signals_->use_msix(true);
  signals_->set_queue_vector(0, 1);
  ASSERT_THAT(device_->start_queue(0, driver_.setup(), 0), pcivm::test::IsOk());
  EXPECT_EQ(calls_.at(0), signals_->vector_event(1).number());
}

TEST_F(Vsock, OffersWhatTheKernelKnows) {
  make();
  EXPECT_TRUE(virtio_features::has(device_->identity().features, 1)) << "SEQPACKET";
  known_ = ~2ULL & ~virtio_features::bit(VIRTIO_F_RING_RESET);
  device_.reset();
  make();
  EXPECT_FALSE(virtio_features::has(device_->identity().features, 1));
  EXPECT_TRUE(virtio_features::has(device_->identity().features, VIRTIO_F_RING_RESET));
}

TEST_F(Vsock, WhatTheKernelRefusesIsTheDrivers) {
  make();
  kernel_.always(VHOST_VSOCK_SET_RUNNING, -EFAULT);
  ASSERT_THAT(device_->start_queue(0, driver_.setup(), 0), pcivm::test::IsOk());
  EXPECT_THAT(device_->start_queue(1, driver_.setup(), 0), FailsWith(Errc::kernel, HasSubstr("VHOST_VSOCK_SET_RUNN")));
  device_->stop_queue(1);
  EXPECT_EQ(reports_.size(), 1U);
  auto outside = driver_.setup();
  outside.device = Gpa{pcivm::test::kRamEnd};
  EXPECT_THAT(device_->start_queue(1, outside, 0), FailsWith(Errc::invalid, HasSubstr("outside RAM")));
}

TEST(VsockAddress, IsTakenWhenTheVmIsChecked) {
  const pcivm::test::TempRoot root;
  pcivm::test::FakeIoctls kernel;
  EXPECT_THAT(open_vsock(root.root(), kernel, 42), FailsWith(Errc::not_found, HasSubstr("vhost-vsock")));
  root.file("/dev/vhost-vsock", "");
  std::uint64_t cid = 0;
  kernel.on<std::uint64_t>(VHOST_VSOCK_SET_GUEST_CID, [&cid](std::uint64_t& wanted) {
    cid = wanted;
    return 0;
  });
  EXPECT_EQ(open_vsock(root.root(), kernel, 42).value().cid, 42U);
  EXPECT_EQ(cid, 42U);
  kernel.always(VHOST_VSOCK_SET_GUEST_CID, -EADDRINUSE);
  EXPECT_THAT(open_vsock(root.root(), kernel, 42), FailsWith(Errc::busy, HasSubstr("cid 42")));
  kernel.always(VHOST_VSOCK_SET_GUEST_CID, -EPERM);
  EXPECT_THAT(open_vsock(root.root(), kernel, 42), FailsWith(Errc::denied, HasSubstr("cid 42")));
}

}  // namespace
}  // namespace pcivm::vmm
