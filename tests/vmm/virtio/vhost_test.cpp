// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/vhost.hpp"

#include <gmock/gmock.h>
#define VIRTIO_RING_NO_LEGACY  // no C++
#include <linux/vhost.h>

#include <bit>
#include <cstring>
#include <optional>
#include <string>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using testing::ElementsAre;
using testing::HasSubstr;

class VhostQueue : public testing::Test {
 protected:
  void SetUp() override {
    kernel_.on(VHOST_SET_OWNER, note("owner"));
    kernel_.on<std::uint64_t>(VHOST_GET_FEATURES, [](std::uint64_t& features) {
      features = 0xff;
      return 0;
    });
    kernel_.on<std::uint64_t>(VHOST_SET_FEATURES, [this](std::uint64_t& features) {
      taken_ = features;
      return 0;
    });
    kernel_.on(_IOW(VHOST_VIRTIO, 0x03, std::uint64_t), [this](FdRef, void* argument) {
      std::uint32_t count = 0;
      std::memcpy(&count, argument, sizeof count);
      regions_.resize(count);
      std::memcpy(regions_.data(), static_cast<std::byte*>(argument) + 8, count * sizeof(vhost_memory_region));
      return 0;
    });
    kernel_.on(VHOST_SET_VRING_NUM, note("size"));
    kernel_.on(VHOST_SET_VRING_BASE, note("base"));
    kernel_.on<vhost_vring_addr>(VHOST_SET_VRING_ADDR, [this](vhost_vring_addr& addresses) {
      log_.push_back("addresses");
      addresses_ = addresses;
      return 0;
    });
    kernel_.on(VHOST_SET_VRING_KICK, note("kick"));
    kernel_.on(VHOST_SET_VRING_CALL, note("call"));
    kernel_.on<vhost_vring_file>(VHOST_NET_SET_BACKEND, [this](vhost_vring_file& file) {
      log_.push_back("tap " + std::to_string(file.fd));
      return tap_outcome_;
    });
  }
  test::FakeIoctls::Answer note(std::string what) {
    return [this, what = std::move(what)](FdRef, void*) {
      log_.push_back(what);
      return 0;
    };
  }
  Result<Vhost> adopt() { return Vhost::adopt(kernel_, make_eventfd().value(), memory_); }

  test::FakeIoctls kernel_;
  GuestMemory memory_ = test::ring_memory();
  test::SplitDriver driver_{memory_, 8};
  std::vector<std::string> log_;
  std::vector<vhost_memory_region> regions_;
  std::uint64_t taken_{};
  vhost_vring_addr addresses_{};
  int tap_outcome_{};
};

TEST_F(VhostQueue, LearnsOfRamAndTakesTheFeaturesItKnows) {
  auto vhost = adopt().value();
  EXPECT_EQ(vhost.features(), 0xffU);
  ASSERT_THAT(vhost.configure(0x1f0), test::IsOk());
  EXPECT_EQ(taken_, 0xf0U);
  ASSERT_EQ(regions_.size(), 2U);
  EXPECT_EQ(regions_[1].guest_phys_addr, 16 * kMiB);
  EXPECT_EQ(regions_[1].userspace_addr, memory_.regions()[1].hva.value);
}

TEST_F(VhostQueue, RunsFromWhenItHasATap) {
  auto vhost = adopt().value();
  ASSERT_THAT(vhost.set_queue(1, driver_.setup(), FdRef{5}, FdRef{6}), test::IsOk());
  ASSERT_THAT(vhost.set_tap(1, FdRef{7}), test::IsOk());
  ASSERT_THAT(vhost.clear_tap(1), test::IsOk());
  EXPECT_THAT(log_, ElementsAre("owner", "size", "base", "addresses", "kick", "call", "tap 7", "tap -1"));
  EXPECT_EQ(addresses_.index, 1U);
  EXPECT_EQ(addresses_.desc_user_addr, memory_.regions()[0].hva.value + test::RingDriver::kDescriptors);
  EXPECT_EQ(addresses_.used_user_addr, memory_.regions()[0].hva.value + test::RingDriver::kDevice);
}

TEST_F(VhostQueue, IsRefusedOutsideOfRam) {
  auto vhost = adopt().value();
  auto setup = driver_.setup();
  setup.device = Gpa{test::kRamEnd - 8};
  EXPECT_THAT(vhost.set_queue(0, setup, FdRef{5}, FdRef{6}), FailsWith(Errc::invalid, HasSubstr("outside RAM")));
  setup = driver_.setup();
  setup.size = 6;
  EXPECT_THAT(vhost.set_queue(0, setup, FdRef{5}, FdRef{6}), FailsWith(Errc::invalid, HasSubstr("power of two")));
  EXPECT_THAT(log_, ElementsAre("owner"));
}

TEST_F(VhostQueue, TellsWhatTheKernelRefuses) {
  auto vhost = adopt().value();
  tap_outcome_ = -EBADFD;
  EXPECT_THAT(vhost.set_tap(0, FdRef{7}), FailsWith(Errc::kernel, HasSubstr("VHOST_NET_SET_BACKEND")));
  kernel_.always(VHOST_SET_OWNER, -EBUSY);
  EXPECT_THAT(adopt(), FailsWith(Errc::busy, HasSubstr("VHOST_SET_OWNER")));
}

}  // namespace
}  // namespace pcivm::vmm
