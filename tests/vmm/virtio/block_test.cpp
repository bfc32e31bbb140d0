// SPDX-License-Identifier: GPL-2.0-or-later
// The disk on real files, by both engines, with the driver's side of a queue in guest memory.
#include "vmm/virtio/block.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <numeric>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"

namespace pcivm::vmm {
namespace {

using test::Buffer;
using test::FailsWith;
using test::RingDriver;
using test::SplitDriver;
using testing::HasSubstr;

constexpr std::uint64_t kHeader = 0x1000;
constexpr std::uint64_t kStatus = 0x2000;
constexpr std::uint64_t kData = 0x100000;
constexpr std::uint64_t kSectors = 64;

std::unique_ptr<IoEngine> plain(std::string& /*why*/) { return make_plain_engine(); }

class Block : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam() && !make_uring_engine()) GTEST_SKIP() << "this kernel gives no io_uring";
    file_ = make_memfd("disk", kSectors * kSector).value();
    std::vector<std::uint32_t> contents(kSectors * kSector / 4);
    std::iota(contents.begin(), contents.end(), 0U);
    ASSERT_THAT(pwrite_exact(file_.ref(), 0, std::as_bytes(std::span{contents})), test::IsOk());
  }
  void make(DiskConfig config = {}) {
    device_.reset();
    config.disk.file = file_.dup().value();
    config.disk.geometry.sectors = kSectors;
    signals_ = VirtioSignals::create("disk", config.queues, true, [this](const Error& error) {
                 reports_.push_back(error.text());
               }).value();
    device_ =
        VirtioBlock::create(std::move(config), memory_, *signals_, GetParam() ? &IoEngine::create : &plain).value();
    signals_->set_queue_vector(0, 0);
    signals_->use_msix(true);
    driver_ = std::make_unique<SplitDriver>(memory_, std::uint16_t{16});
    // A device looks at a queue that starts: it must not find what an earlier one was offered.
    driver_->poke<std::uint32_t>(RingDriver::kDriver, 0);
    driver_->poke<std::uint32_t>(RingDriver::kDevice, 0);
    const auto features = device_->identity().features & ~virtio_features::bit(virtio_features::kEventIndex);
    ASSERT_THAT(device_->start_queue(0, driver_->setup(), features), test::IsOk());
  }
  void header(std::uint32_t type, std::uint64_t sector) {
    driver_->poke(kHeader, type);
    driver_->poke(kHeader + 8, sector);
    driver_->poke<std::uint8_t>(kStatus, 0xee);
  }
  void kick() { signal_eventfd(signals_->doorbell(0)); }
  /// Waits for the interrupt.
  bool answered() {
    pollfd entry{.fd = signals_->vector_event(0).number(), .events = POLLIN, .revents = 0};
    if (::poll(&entry, 1, 5000) != 1) return false;
    (void)drain_eventfd(signals_->vector_event(0));
    return true;
  }
  /// One request; its status.
  unsigned request(std::uint32_t type, std::uint64_t sector, std::vector<Buffer> data) {
    header(type, sector);
    data.insert(data.begin(), {kHeader, 16, false});
    data.push_back({kStatus, 1, true});
    driver_->offer(data);
    kick();
    if (!answered()) return 0xdead;
    EXPECT_EQ(driver_->collect().size(), 1U);
    return driver_->peek<std::uint8_t>(kStatus);
  }
  std::uint32_t on_disk(std::uint64_t offset) {
    std::uint32_t value = 0;
    (void)pread_exact(file_.ref(), offset, std::as_writable_bytes(std::span{&value, 1}));
    return value;
  }
  bool broken() {
    for (int attempt = 0; attempt < 500 && !signals_->is_broken(); ++attempt) ::usleep(10'000);
    return signals_->is_broken();
  }

  Fd file_;
  GuestMemory memory_ = test::ring_memory();
  std::vector<std::string> reports_;
  std::unique_ptr<VirtioSignals> signals_;
  std::unique_ptr<RingDriver> driver_;
  std::unique_ptr<VirtioDevice> device_;  // before the rest goes
};
INSTANTIATE_TEST_SUITE_P(Engine, Block, testing::Bool(),
                         [](const auto& each) { return each.param ? "Uring" : "Plain"; });

TEST_P(Block, ReadsIntoScatteredBuffers) {
  make();
  EXPECT_EQ(request(VIRTIO_BLK_T_IN, 2, {{kData, 512, true}, {kData + 0x1000, 100, true}, {kData + 0x2000, 412, true}}),
            unsigned{VIRTIO_BLK_S_OK});
  EXPECT_EQ(driver_->peek<std::uint32_t>(kData), 256U);
  EXPECT_EQ(driver_->peek<std::uint32_t>(kData + 0x1000), 384U);
  EXPECT_EQ(driver_->peek<std::uint32_t>(kData + 0x2000), 384U + 25);
}

TEST_P(Block, WritesWhereItIsTold) {
  make();
  driver_->poke<std::uint32_t>(kData, 0xfeedf00d);
  EXPECT_EQ(request(VIRTIO_BLK_T_OUT, kSectors - 1, {{kData, 512, false}}), unsigned{VIRTIO_BLK_S_OK});
  EXPECT_EQ(on_disk((kSectors - 1) * kSector), 0xfeedf00dU);
  EXPECT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, {}), unsigned{VIRTIO_BLK_S_OK});
}

TEST_P(Block, HeaderAndStatusMayBeAnyhowInBuffers) {
  make();
  header(VIRTIO_BLK_T_IN, 0);
  driver_->offer({{kHeader, 5, false}, {kHeader + 5, 11, false}, {kData, 513, true}});
  kick();
  ASSERT_TRUE(answered());
  EXPECT_EQ(driver_->peek<std::uint8_t>(kData + 512), unsigned{VIRTIO_BLK_S_OK});
  EXPECT_EQ(driver_->peek<std::uint32_t>(kData + 4), 1U);
}

TEST_P(Block, NothingIsReachedBeyondTheEnd) {
  make();
  for (const auto sector : std::array<std::uint64_t, 4>{kSectors, kSectors - 1, ~0ULL, ~0ULL / 512}) {
    EXPECT_EQ(request(VIRTIO_BLK_T_IN, sector, {{kData, 1024, true}}), unsigned{VIRTIO_BLK_S_IOERR}) << sector;
    EXPECT_EQ(request(VIRTIO_BLK_T_OUT, sector, {{kData, 1024, false}}), unsigned{VIRTIO_BLK_S_IOERR}) << sector;
  }
  EXPECT_EQ(::lseek(file_.ref().number(), 0, SEEK_END), static_cast<off_t>(kSectors * kSector));
  EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, {{kData, 100, true}}), unsigned{VIRTIO_BLK_S_IOERR}) << "no whole sector";
}

TEST_P(Block, NothingIsWrittenToAReadOnlyDisk) {
  make({.read_only = true});
  EXPECT_EQ(device_->identity().features >> VIRTIO_BLK_F_RO & 1U, 1U);
  EXPECT_EQ(request(VIRTIO_BLK_T_OUT, 0, {{kData, 512, false}}), unsigned{VIRTIO_BLK_S_IOERR});
  driver_->poke<std::uint64_t>(kData, 0);
  driver_->poke<std::uint64_t>(kData + 8, 1);
  EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, {{kData, 16, false}}), unsigned{VIRTIO_BLK_S_IOERR});
  EXPECT_EQ(on_disk(4), 1U);
}

TEST_P(Block, DiscardsAndWritesZeroes) {
  make();
  for (const auto type : {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
    driver_->poke<std::uint64_t>(kData, 8U * (static_cast<unsigned>(type) - 10));
    driver_->poke<std::uint32_t>(kData + 8, 8);
    driver_->poke<std::uint32_t>(kData + 12, 0);
    EXPECT_EQ(request(static_cast<std::uint32_t>(type), 0, {{kData, 16, false}}), unsigned{VIRTIO_BLK_S_OK});
    EXPECT_EQ(on_disk(8ULL * (static_cast<unsigned>(type) - 10) * kSector + 4), 0U);
  }
  driver_->poke<std::uint64_t>(kData, kSectors - 1);
  driver_->poke<std::uint32_t>(kData + 8, 2);
  EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, {{kData, 16, false}}), unsigned{VIRTIO_BLK_S_IOERR}) << "beyond the end";
  driver_->poke<std::uint64_t>(kData, 0);
  driver_->poke<std::uint32_t>(kData + 12, 2);
  EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, {{kData, 16, false}}), unsigned{VIRTIO_BLK_S_UNSUPP}) << "unknown flag";
  EXPECT_EQ(request(VIRTIO_BLK_T_DISCARD, 0, {{kData, 15, false}}), unsigned{VIRTIO_BLK_S_IOERR}) << "half a range";
}

TEST_P(Block, TellsItsSerialNumber) {
  make({.serial = "lab"});
  EXPECT_EQ(request(VIRTIO_BLK_T_GET_ID, 0, {{kData, 20, true}}), unsigned{VIRTIO_BLK_S_OK});
  EXPECT_EQ(driver_->peek<std::uint32_t>(kData), 0x0062616cU);
  EXPECT_EQ(request(VIRTIO_BLK_T_GET_ID, 0, {{kData, 19, true}}), unsigned{VIRTIO_BLK_S_IOERR});
  EXPECT_EQ(request(77, 0, {{kData, 20, true}}), unsigned{VIRTIO_BLK_S_UNSUPP});
}

TEST_P(Block, ErrorsOfTheHostAreErrorsOfTheDisk) {
  make();
  ASSERT_EQ(::ftruncate(file_.ref().number(), 1024), 0);
  EXPECT_EQ(request(VIRTIO_BLK_T_IN, 8, {{kData, 512, true}}), unsigned{VIRTIO_BLK_S_IOERR});
  EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, {{kData, 512, true}}), unsigned{VIRTIO_BLK_S_OK}) << "it goes on";
  device_.reset();
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_THAT(reports_[0], HasSubstr("read at 0x1000"));
}

TEST_P(Block, ReadThatComesInPiecesIsPutTogether) {
  make();
  ASSERT_EQ(::ftruncate(file_.ref().number(), 1536), 0);
  EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, {{kData, 1024, true}, {kData + 0x1000, 1024, true}}),
            unsigned{VIRTIO_BLK_S_IOERR})
      << "1536 bytes came, then none";
  EXPECT_EQ(driver_->peek<std::uint32_t>(kData + 0x1000), 256U);
}

TEST_P(Block, RequestThatIsNoneNeedsReset) {
  for (const auto& buffers : {std::vector<Buffer>{{kHeader, 15, false}, {kStatus, 1, true}},
                              std::vector<Buffer>{{kHeader, 16, false}}, std::vector<Buffer>{{kStatus, 1, true}}}) {
    make();
    header(VIRTIO_BLK_T_IN, 0);
    driver_->offer(buffers);
    kick();
    EXPECT_TRUE(broken());
    device_->stop_queue(0);
    signals_->reset();
    signals_->set_queue_vector(0, 0);
    driver_ = std::make_unique<SplitDriver>(memory_, std::uint16_t{16});
    driver_->poke<std::uint32_t>(RingDriver::kDriver, 0);
    driver_->poke<std::uint32_t>(RingDriver::kDevice, 0);
    ASSERT_THAT(device_->start_queue(0, driver_->setup(), 0), test::IsOk());
    EXPECT_EQ(request(VIRTIO_BLK_T_IN, 0, {{kData, 512, true}}), unsigned{VIRTIO_BLK_S_OK}) << "after a reset";
  }
}

TEST_P(Block, HasItsShareAndNoMore) {
  make({.iops = 100});
  const auto start = std::chrono::steady_clock::now();
  const auto cpu = std::clock();
  for (unsigned count = 0; count < 31; ++count) {
    ASSERT_EQ(request(VIRTIO_BLK_T_IN, 2, {{kData, 512, true}}), unsigned{VIRTIO_BLK_S_OK});
  }
  // A tenth of a second was in store.
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds{190});
  EXPECT_LT(static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC, 0.15) << "it waits, and does not look";
}

TEST_P(Block, BytesAreLimitedToo) {
  make({.bandwidth = 64 * kKiB});
  const auto start = std::chrono::steady_clock::now();
  for (unsigned count = 0; count < 10; ++count) {
    ASSERT_EQ(request(VIRTIO_BLK_T_IN, 0, {{kData, 4096, true}}), unsigned{VIRTIO_BLK_S_OK});
    ASSERT_EQ(request(VIRTIO_BLK_T_FLUSH, 0, {}), unsigned{VIRTIO_BLK_S_OK});
  }
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds{430});
}

TEST_P(Block, ALimitedDiskStopsAtOnce) {
  make({.iops = 1});
  for (unsigned count = 0; count < 2; ++count) {
    header(VIRTIO_BLK_T_IN, 0);
    driver_->offer({{kHeader, 16, false}, {kData, 512, true}, {kStatus, 1, true}});
  }
  kick();
  ASSERT_TRUE(answered());
  const auto start = std::chrono::steady_clock::now();
  device_->stop_queue(0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds{500});
  EXPECT_EQ(driver_->collect().size(), 1U) << "the other one was not taken";
}

TEST_P(Block, StopWaitsForWhatIsUnderWay) {
  for (int round = 0; round < 200; ++round) {
    make();
    header(VIRTIO_BLK_T_IN, 0);
    for (unsigned index = 0; index < 4; ++index) {
      driver_->offer({{kHeader, 16, false}, {kData + 0x8000 * index, 0x8000, true}, {kStatus + index, 1, true}});
    }
    kick();
    device_->stop_queue(0);
    const auto given = driver_->collect().size();
    ::usleep(100);
    ASSERT_EQ(driver_->collect().size(), 0U) << given << " were given before";
    ASSERT_EQ(driver_->peek<std::uint8_t>(kStatus + given), given == 4 ? 0 : given == 0 ? 0xee : 0);
    driver_->poke<std::uint32_t>(RingDriver::kDriver, 0);
    driver_->poke<std::uint32_t>(RingDriver::kDevice, 0);
    driver_->poke<std::uint32_t>(kStatus, 0);
  }
}

TEST(DiskFileTest, KnowsWhatCanBeADisk) {
  const auto open = [](const std::string& path, DiskAccess access = {}) {
    return open_disk(system_ioctl(), path, access);
  };
  EXPECT_THAT(open("/nowhere/at/all"), FailsWith(Errc::not_found));
  EXPECT_THAT(open("/dev/null"), FailsWith(Errc::invalid, HasSubstr("neither a regular file")));
  const auto path = "/tmp/pcivm-disk-test." + std::to_string(::getpid());
  const auto made = open_path(path, O_RDWR | O_CREAT | O_TRUNC, 0600).value();
  EXPECT_THAT(open(path), FailsWith(Errc::invalid, HasSubstr("0 bytes")));
  ASSERT_EQ(::ftruncate(made.ref().number(), 1000), 0);
  EXPECT_THAT(open(path), FailsWith(Errc::invalid, HasSubstr("1000 bytes, a multiple of 512 wanted")));
  ASSERT_EQ(::ftruncate(made.ref().number(), 8192), 0);
  {
    const auto disk = open(path);
    ASSERT_THAT(disk, test::IsOk());
    EXPECT_EQ(disk->geometry.sectors, 16U);
    EXPECT_THAT(open(path), FailsWith(Errc::busy, HasSubstr("in use")));
    EXPECT_THAT(open(path, {.read_only = true}), FailsWith(Errc::busy));
  }
  {
    const auto reader = open(path, {.read_only = true});
    EXPECT_THAT(open(path, {.read_only = true}), test::IsOk()) << "readers share";
    EXPECT_THAT(open(path), FailsWith(Errc::busy));
  }
  EXPECT_THAT(open(path), test::IsOk());
  (void)::unlink(path.c_str());
}

}  // namespace
}  // namespace pcivm::vmm
