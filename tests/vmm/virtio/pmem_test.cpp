// SPDX-License-Identifier: GPL-2.0-or-later
// The queue of virtio-pmem on real files, by both engines.
#include "vmm/virtio/pmem.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using testing::HasSubstr;

constexpr std::uint64_t kType = 0x1000;
constexpr std::uint64_t kOutcome = 0x2000;
constexpr std::uint32_t kNone = 0xeeeeeeee;

std::unique_ptr<IoEngine> plain(std::string& /*why*/) { return make_plain_engine(); }

class Pmem : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam() && !make_uring_engine()) GTEST_SKIP() << "this kernel gives no io_uring";
  }
  void make(Fd file, bool read_only = false) {
    device_ = VirtioPmem::create({.file = std::move(file),
                                  .length = 2 * kMiB,
                                  .read_only = read_only,
                                  .base = Gpa{0x140000000}},
                                 memory_, *signals_, GetParam() ? &IoEngine::create : &plain)
                  .value();
    signals_->set_queue_vector(0, 0);
    signals_->use_msix(true);
    ASSERT_THAT(device_->start_queue(0, driver_.setup(), 0), test::IsOk());
  }
  std::uint32_t request(std::uint32_t type) {
    driver_.poke(kType, type);
    driver_.poke(kOutcome, kNone);
    driver_.offer({{kType, 4, false}, {kOutcome, 4, true}}, false);
    signal_eventfd(signals_->doorbell(0));
    pollfd entry{.fd = signals_->vector_event(0).number(), .events = POLLIN, .revents = 0};
    if (::poll(&entry, 1, 5000) != 1) return 0xdead;
    (void)drain_eventfd(signals_->vector_event(0));
    const auto used = driver_.collect();
    EXPECT_EQ(used.size(), 1U);
    EXPECT_EQ(used.front().length, 4U);
    return driver_.peek<std::uint32_t>(kOutcome);
  }
  bool broken() {
    for (int attempt = 0; attempt < 500 && !signals_->is_broken(); ++attempt) ::usleep(10'000);
    return signals_->is_broken();
  }
  GuestMemory memory_ = test::ring_memory();
  test::SplitDriver driver_{memory_, 8};
  std::vector<std::string> reports_;
  std::unique_ptr<VirtioSignals> signals_ =
      VirtioSignals::create("pmem", 1, true, [this](const Error& error) { reports_.push_back(error.text()); }).value();
  std::unique_ptr<VirtioDevice> device_;
};
INSTANTIATE_TEST_SUITE_P(Engine, Pmem, testing::Bool(),
                         [](const auto& each) { return each.param ? "Uring" : "Plain"; });

TEST_P(Pmem, SaysWhereItIs) {
  make(make_memfd("pmem", 2 * kMiB).value());
  std::array<std::byte, 16> bytes{};
  device_->read_config(0, bytes);
  EXPECT_EQ(load_le(std::span{bytes}.first(8)), 0x140000000U);
  EXPECT_EQ(load_le(std::span{bytes}.last(8)), 2 * kMiB);
}

TEST_P(Pmem, FlushesAndRefusesWhatItDoesNotKnow) {
  make(make_memfd("pmem", 2 * kMiB).value());
  EXPECT_EQ(request(0), 0U);
  EXPECT_EQ(request(1), 1U);
  EXPECT_EQ(request(0), 0U);
  EXPECT_FALSE(signals_->is_broken());
}

// An eventfd cannot be synced.
TEST_P(Pmem, TellsTheGuestThatAFlushFailed) {
  make(make_eventfd().value());
  EXPECT_EQ(request(0), 1U);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_THAT(reports_[0], HasSubstr("fdatasync"));
}

TEST_P(Pmem, HasNothingToFlushWhenReadOnly) {
  make(make_eventfd().value(), true);
  EXPECT_EQ(request(0), 0U);
}

TEST_P(Pmem, EndsTheQueueOfADriverThatAsksForNothing) {
  make(make_memfd("pmem", 2 * kMiB).value());
  driver_.offer({{kType, 3, false}, {kOutcome, 4, true}}, false);
  signal_eventfd(signals_->doorbell(0));
  EXPECT_TRUE(broken());
  device_->stop_queue(0);
}

TEST_P(Pmem, NeedsRoomForTheOutcome) {
  make(make_memfd("pmem", 2 * kMiB).value());
  driver_.offer({{kType, 4, false}, {kOutcome, 3, true}}, false);
  signal_eventfd(signals_->doorbell(0));
  EXPECT_TRUE(broken());
}

TEST_P(Pmem, StopWaitsForAllThatIsUnderWay) {
  make(make_memfd("pmem", 2 * kMiB).value());
  driver_.poke(kType, 0U);
  for (unsigned count = 0; count < 4; ++count) driver_.offer({{kType, 4, false}, {kOutcome, 4, true}}, false);
  signal_eventfd(signals_->doorbell(0));
  device_->stop_queue(0);
  const auto before = driver_.collect().size();
  ::usleep(20'000);
  EXPECT_TRUE(driver_.collect().empty()) << before << " were answered before the stop";
}

TEST(PmemFile, IsAMultipleOfTwoMebibytesWithRoomForAll) {
  const test::TempRoot root;
  test::FakeIoctls kernel;
  root.file("/image", "x");
  const auto path = root.path("/image").string();
  EXPECT_THAT(open_pmem(kernel, path, false), FailsWith(Errc::invalid, HasSubstr("multiple of 2097152")));
  ASSERT_EQ(::truncate(path.c_str(), 4 * kMiB), 0);
  EXPECT_EQ(open_pmem(kernel, path, false).value().length, 4 * kMiB);
  struct stat facts{};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_GE(facts.st_blocks * 512, static_cast<long>(4 * kMiB)) << "no holes are left";
  EXPECT_EQ(facts.st_size, static_cast<long>(4 * kMiB));
  EXPECT_THAT(open_pmem(kernel, root.path("/nowhere").string(), false), FailsWith(Errc::not_found));
}

TEST(PmemFile, IsOneVmsOnly) {
  const test::TempRoot root;
  test::FakeIoctls kernel;
  root.file("/image", "");
  const auto path = root.path("/image").string();
  ASSERT_EQ(::truncate(path.c_str(), 2 * kMiB), 0);
  const auto first = open_pmem(kernel, path, true).value();
  EXPECT_THAT(open_pmem(kernel, path, true), test::IsOk());
  EXPECT_THAT(open_pmem(kernel, path, false), FailsWith(Errc::busy, HasSubstr("in use")));
}

}  // namespace
}  // namespace pcivm::vmm
