// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/console_hub.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <csignal>
#include <string>

#include "base/socket.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

TEST(ConsoleLogging, KeepsTheLastBytes) {
  ConsoleLog log{8};
  const auto add = [&log](std::string_view text) { log.append(std::as_bytes(std::span{text})); };
  add("abc");
  EXPECT_EQ(log.text(), "abc");
  EXPECT_EQ(log.begin(), 0U);
  add("defghijkl");
  EXPECT_EQ(log.text(), "efghijkl");
  EXPECT_EQ(log.begin(), 4U);
  EXPECT_EQ(log.end(), 12U);
  EXPECT_EQ(log.from(10).size(), 2U);
  EXPECT_TRUE(log.from(12).empty());
  EXPECT_TRUE(log.from(100).empty());
}

// A guest at one end of a socket, clients at ends of others.
class Hub : public testing::Test {
 protected:
  Hub() {
    (void)std::signal(SIGPIPE, SIG_IGN);
    auto [ours, guests] = make_socket_pair(SOCK_NONBLOCK).value();
    guest_ = std::move(guests);
    hub_ = ConsoleHub::create(*loop_, std::move(ours), 65536).value();
  }
  // Whatever is ready, and what follows from it.
  void turn() {
    for (int round = 0; round < 8; ++round) {
      loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
      ASSERT_THAT(loop_->run(), IsOk());
    }
  }
  void guest_says(std::string_view text) {
    do {
      const auto written = write_some(guest_.ref(), std::as_bytes(std::span{text}));
      if (written) text.remove_prefix(*written);
      turn();
    } while (!text.empty());
  }
  Fd attach(bool types, std::string_view early = {}) {
    auto [ours, clients] = make_socket_pair(SOCK_NONBLOCK).value();
    auto out = ours.dup().value();
    attached_ = hub_->attach({.in = std::move(ours), .out = std::move(out), .types = types}, early);
    turn();
    return std::move(clients);
  }
  static std::string all_of(const Fd& fd) {
    std::string text;
    std::array<char, 4096> chunk{};
    for (;;) {
      const auto count = read_some(fd.ref(), std::as_writable_bytes(std::span{chunk}));
      if (!count || *count == 0) return text;
      text.append(chunk.data(), *count);
    }
  }
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  Fd guest_;
  std::unique_ptr<ConsoleHub> hub_;
  Result<void> attached_{};
};

TEST_F(Hub, ALateReaderGetsWhatWasSaidEarly) {
  guest_says("early ");
  const auto one = attach(false);
  const auto two = attach(false);
  guest_says("late");
  EXPECT_EQ(all_of(one), "early late");
  EXPECT_EQ(all_of(two), "early late");
  EXPECT_EQ(hub_->figures().readers, 2U);
  EXPECT_EQ(hub_->figures().said, 10U);
}

TEST_F(Hub, OneTypes) {
  const auto first = attach(true, "ab");
  EXPECT_THAT(attached_, IsOk());
  (void)attach(true);
  EXPECT_THAT(attached_, FailsWith(Errc::busy, HasSubstr("types")));
  const auto reader = attach(false);
  EXPECT_THAT(attached_, IsOk());
  ASSERT_THAT(write_all(first.ref(), "cd"), IsOk());
  ASSERT_THAT(write_all(reader.ref(), "not this"), IsOk());
  turn();
  EXPECT_EQ(all_of(guest_), "abcd");
}

TEST_F(Hub, AWriterThatLeavesMakesRoom) {
  auto first = attach(true);
  first.close();
  turn();
  EXPECT_FALSE(hub_->figures().writer);
  EXPECT_EQ(hub_->figures().readers, 0U);
  const auto second = attach(true);
  EXPECT_THAT(attached_, IsOk());
}

TEST_F(Hub, WhoOnlyStopsTypingStillReads) {
  const auto client = attach(true);
  ASSERT_EQ(::shutdown(client.ref().number(), SHUT_WR), 0);
  turn();
  EXPECT_FALSE(hub_->figures().writer);
  guest_says("still here");
  EXPECT_EQ(all_of(client), "still here");
}

TEST_F(Hub, ASlowReaderStallsNobody) {
  const auto slow = attach(false);
  const auto quick = attach(false);
  const std::string line(1000, 'x');
  std::size_t quick_read = 0;
  for (int count = 0; count < 2000; ++count) {
    guest_says(line);
    quick_read += all_of(quick).size();
  }
  EXPECT_EQ(quick_read, 2'000'000U);
  EXPECT_EQ(hub_->figures().said, 2'000'000U);
  const auto late = all_of(slow).size();
  turn();
  const auto rest = all_of(slow).size();
  EXPECT_GT(hub_->figures().dropped, 1'000'000U);
  EXPECT_LE(late + rest + hub_->figures().dropped, 2'000'000U);
}

TEST_F(Hub, AReaderThatVanishesIsForgotten) {
  auto reader = attach(false);
  reader.close();
  guest_says("a");
  guest_says("b");
  EXPECT_EQ(hub_->figures().readers, 0U);
}

TEST_F(Hub, AGuestThatTakesNothingKeepsWhatIsTyped) {
  const auto writer = attach(true);
  const std::string text(100'000, 'k');
  std::size_t sent = 0;
  std::size_t taken = 0;
  for (int round = 0; round < 1000 && taken < 1'000'000; ++round) {
    while (sent < 1'000'000) {
      const auto some = std::min(text.size(), 1'000'000 - sent);
      const auto count = write_some(writer.ref(), std::as_bytes(std::span{text}.first(some)));
      if (!count) break;
      sent += *count;
    }
    turn();
    taken += all_of(guest_).size();
  }
  EXPECT_EQ(taken, 1'000'000U);
}

TEST_F(Hub, HasALimit) {
  std::vector<Fd> readers;
  for (std::size_t count = 0; count < ConsoleHub::kMostClients; ++count) readers.push_back(attach(false));
  EXPECT_THAT(attached_, IsOk());
  (void)attach(false);
  EXPECT_THAT(attached_, FailsWith(Errc::busy));
}

TEST_F(Hub, WritesFilesAtOnceAndFinishesPipes) {
  auto file = make_memfd("out", 0).value();
  ASSERT_THAT(hub_->attach({.out = file.dup().value()}), IsOk());
  int ends[2]{};
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const auto read = Fd::adopt(ends[0]);
  ASSERT_THAT(hub_->attach({.out = Fd::adopt(ends[1])}), IsOk());
  guest_says("one ");
  ASSERT_THAT(write_all(guest_.ref(), "two"), IsOk());
  guest_.close();
  hub_->finish(std::chrono::milliseconds{100});
  EXPECT_EQ(read_to_end(read.ref()).value(), "one two");
  EXPECT_EQ(file_size(file.ref()).value(), 7U);
}

TEST_F(Hub, DoesNotWaitForeverForAStuckReader) {
  const auto stuck = attach(false);
  guest_says(std::string(60'000, 'x'));
  guest_says(std::string(60'000, 'x'));
  for (int count = 0; count < 20; ++count) guest_says(std::string(60'000, 'x'));
  const auto before = std::chrono::steady_clock::now();
  hub_->finish(std::chrono::milliseconds{50});
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds{5});
  EXPECT_GT(hub_->figures().dropped, 0U);
}

}  // namespace
}  // namespace pcivm::cli
