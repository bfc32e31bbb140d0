// SPDX-License-Identifier: GPL-2.0-or-later
// The shared folder over a daemon that notes what it is told, and misbehaves when asked to.
#include "vmm/virtio/shared_folder.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <string>

#include "base/socket.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "tests/vmm/legacy_fakes.hpp"
#include "tests/vmm/virtio/fake_daemon.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::FailsWith;
using pcivm::test::FakeDaemon;
using pcivm::test::shareable_memory;
using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr unsigned kMemory = 5;
constexpr unsigned kGetBase = FakeDaemon::kGetBase;
constexpr unsigned kKick = 12;
constexpr unsigned kCall = 13;
constexpr unsigned kEnable = 18;
constexpr auto kProtocol = FakeDaemon::kProtocol;

class SharedFolder : public testing::Test {
 protected:
  SharedFolder() {
    auto [ours, theirs] = make_socket_pair().value();
    socket_ = std::move(ours);
    daemon_ = std::make_unique<FakeDaemon>(std::move(theirs));
    signals_->connect(line_);
  }
  Result<std::unique_ptr<VhostUser>> adopt() {
    return VhostUser::adopt(std::move(socket_), memory_, milliseconds{200});
  }
  void make() {
    device_ =
        VirtioSharedFolder::create({.daemon = std::move(socket_), .tag = "files"}, *loop_, memory_, *signals_).value();
  }
  Result<void> start(unsigned queue) { return device_->start_queue(queue, driver_.setup(), 1ULL << 32U); }
  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    ASSERT_THAT(loop_->run(), pcivm::test::IsOk());
  }
  bool broken() {
    for (int attempt = 0; attempt < 200 && !signals_->is_broken(); ++attempt) {
      turn();
      ::usleep(5'000);
    }
    return signals_->is_broken();
  }
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  GuestMemory memory_ = shareable_memory();
  pcivm::test::SplitDriver driver_{memory_, 8};
  test::FakeLine line_;
  std::vector<std::string> reports_;
  std::unique_ptr<VirtioSignals> signals_ =
      VirtioSignals::create("fs", 2, false, [this](const Error& error) { reports_.push_back(error.text()); }).value();
  Fd socket_;
  std::unique_ptr<FakeDaemon> daemon_;
  std::unique_ptr<VirtioDevice> device_;
};

TEST_F(SharedFolder, TellsItsTagAndQueues) {
  make();
  std::array<std::byte, 40> bytes{};
  device_->read_config(0, bytes);
  EXPECT_EQ(std::to_integer<char>(bytes[0]), 'f');
  EXPECT_EQ(std::to_integer<int>(bytes[5]), 0);
  EXPECT_EQ(load_le(std::span{bytes}.last(4)), 1U);
}

TEST_F(SharedFolder, HandsRamAndQueuesToTheDaemon) {
  make();
  ASSERT_THAT(start(0), pcivm::test::IsOk());
  ASSERT_THAT(start(1), pcivm::test::IsOk());
  EXPECT_THAT(daemon_->requests(),
              ElementsAre(1, 15, 16, 3, 2, kMemory, 8, 10, 9, kCall, kKick, kEnable, 8, 10, 9, kCall, kKick, kEnable));
  ASSERT_EQ(daemon_->files(kMemory), 2U);
  // The daemon writes where the guest reads.
  const auto table = daemon_->payload(kMemory);
  ASSERT_EQ(table.size(), 8 + 2 * 32U);
  EXPECT_EQ(load_le(std::span{table}.subspan(8 + 32, 8)), 16 * kMiB);
  const auto shared = Mapping::shared(FdRef{daemon_->file(kMemory)}, 0, 2 * kMiB, Access::read_write).value();
  shared.bytes()[100] = std::byte{7};
  EXPECT_EQ(memory_.read<std::uint8_t>(Gpa{16 * kMiB + 100}).value(), 7U);
  EXPECT_LT(::ftruncate(daemon_->file(kMemory), 0), 0) << "nobody may take the memory away";
  // Its interrupt becomes the line of a driver without MSI-X.
  signal_eventfd(FdRef{daemon_->file(kCall)});
  turn();
  EXPECT_EQ(signals_->take_isr(), 1U);
  EXPECT_NE(drain_eventfd(FdRef{daemon_->file(kKick)}), 0U) << "what came before is looked at";

  device_->stop_queue(0);
  device_->stop_queue(0);
  device_->stop_queue(1);
  ASSERT_THAT(start(0), pcivm::test::IsOk());
  EXPECT_EQ(std::ranges::count(daemon_->requests(), kGetBase), 2);
  EXPECT_EQ(std::ranges::count(daemon_->requests(), kMemory), 2) << "anew after all were stopped";
  EXPECT_TRUE(reports_.empty());
}

TEST_F(SharedFolder, GoesOnWithoutADaemonThatEnds) {
  make();
  ASSERT_THAT(start(0), pcivm::test::IsOk());
  daemon_->leave();
  EXPECT_TRUE(broken());
  for (int count = 0; count < 3; ++count) turn();
  device_->stop_queue(0);
  EXPECT_EQ(reports_.size(), 1U) << "told once";
  EXPECT_THAT(start(0), FailsWith(Errc::kernel, HasSubstr("closed")));
}

TEST_F(SharedFolder, TakesNoRubbish) {
  make();
  daemon_->say("hello");
  EXPECT_TRUE(broken());
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_THAT(reports_[0], HasSubstr("nobody asked"));
}

TEST_F(SharedFolder, OffersWhatTheDaemonKnows) {
  daemon_->features = kProtocol | 1ULL << 32U;
  make();
  EXPECT_FALSE(virtio_features::has(device_->identity().features, virtio_features::kEventIndex));
  EXPECT_TRUE(virtio_features::has(device_->identity().features, VIRTIO_F_VERSION_1));
}

using Mood = FakeDaemon::Mood;
class SharedFolderMoods : public SharedFolder, public testing::WithParamInterface<Mood> {};
std::string mood_name(const testing::TestParamInfo<Mood>& each) {
  constexpr std::array kNames{"Good", "Refuses", "Silent", "Gone", "Rubbish", "ShortAnswer", "LongAnswer"};
  return kNames.at(static_cast<std::size_t>(each.param));
}
INSTANTIATE_TEST_SUITE_P(Mood, SharedFolderMoods,
                         testing::Values(Mood::silent, Mood::gone, Mood::rubbish, Mood::short_answer,
                                         Mood::long_answer),
                         mood_name);

TEST_P(SharedFolderMoods, AtAnyRequestAreAnErrorInTime) {
  for (const unsigned request : {1U, 15U, 3U, 2U, kMemory, 8U, 9U, kKick, kEnable, kGetBase}) {
    auto [ours, theirs] = make_socket_pair().value();
    FakeDaemon daemon{std::move(theirs)};
    daemon.become(request, GetParam());
    const auto work = [&]() -> Result<void> {
      const auto user = TRY(VhostUser::adopt(std::move(ours), memory_, milliseconds{200}));
      auto done = user->configure(1ULL << 32U);
      if (done) done = user->start_queue(0, driver_.setup(), FdRef{0}, FdRef{0});
      if (done) done = user->stop_queue(0);
      EXPECT_FALSE(done.has_value());
      const auto start = std::chrono::steady_clock::now();
      EXPECT_FALSE(user->stop_queue(0).has_value()) << "lost for good";
      EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds{100});
      EXPECT_TRUE(user->loss().has_value());
      return done;
    };
    EXPECT_FALSE(work().has_value()) << request;
  }
}

TEST_F(SharedFolder, ARefusalIsNoLoss) {
  daemon_->become(kMemory, Mood::refuses);
  const auto user = adopt().value();
  EXPECT_THAT(user->configure(1ULL << 32U), FailsWith(Errc::kernel, HasSubstr("refuses request 5")));
  EXPECT_FALSE(user->loss().has_value());
}

TEST_F(SharedFolder, WorksWithADaemonThatAcknowledgesNothing) {
  daemon_->protocol = 0;
  const auto user = adopt().value();
  EXPECT_THAT(user->configure(1ULL << 32U), pcivm::test::IsOk());
  EXPECT_THAT(user->start_queue(0, driver_.setup(), FdRef{0}, FdRef{0}), pcivm::test::IsOk());
  EXPECT_THAT(user->stop_queue(0), pcivm::test::IsOk());
}

TEST_F(SharedFolder, NeedsTheProtocolsFeatures) {
  daemon_->features = 1ULL << 32U;
  EXPECT_THAT(adopt(), FailsWith(Errc::kernel, HasSubstr("no features of the protocol")));
}

TEST_F(SharedFolder, TellsTheDaemonOfNoQueueOutsideOfRam) {
  make();
  auto setup = driver_.setup();
  setup.device = Gpa{pcivm::test::kRamEnd};
  EXPECT_THAT(device_->start_queue(0, setup, 0), FailsWith(Errc::invalid, HasSubstr("outside RAM")));
  setup = driver_.setup();
  setup.driver = Gpa{0x20001};
  EXPECT_THAT(device_->start_queue(0, setup, 0), FailsWith(Errc::invalid, HasSubstr("odd")));
  EXPECT_THAT(daemon_->requests(), testing::Not(Contains(8U)));
}

TEST(SharedFolderSocket, SaysThatTheDaemonMustRunFirst) {
  const pcivm::test::TempRoot root;
  EXPECT_THAT(connect_vhost_user(root.path("/none").string()), FailsWith(Errc::not_found, HasSubstr("/none")));
  EXPECT_THAT(connect_vhost_user(std::string(200, 'x')), FailsWith(Errc::invalid, HasSubstr("108")));
}

}  // namespace
}  // namespace pcivm::vmm
