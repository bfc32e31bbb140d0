// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/output_ring.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using std::chrono::milliseconds;
using test::FailsWith;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span{text}); }

class Ring : public testing::Test {
 protected:
  struct Pipe {
    Fd read_end;
    Fd write_end;
  };
  // Blocking, like a terminal that somebody else opened.
  static Pipe make_pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return {.read_end = Fd::adopt(ends[0]), .write_end = Fd::adopt(ends[1])};
  }
  static std::string take(const Fd& fd, std::size_t limit) {
    std::string text(limit, '\0');
    const auto count = read_some(fd.ref(), std::as_writable_bytes(std::span{text})).value_or(0);
    text.resize(count);
    return text;
  }
  // Everything posted or ready by now is dispatched before the stop.
  void run_loop() {
    loop->post([this] { loop->post([this] { loop->post([this] { loop->stop(); }); }); });
    ASSERT_TRUE(loop->run());
  }
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
};

TEST_F(Ring, DrainsIntoAPipe) {
  const auto pipe = make_pipe();
  const auto ring = OutputRing::create(*loop, pipe.write_end.ref(), 64).value();
  ring->push(bytes("hello "));
  ring->push(bytes("world"));
  for (int turn = 0; turn < 3; ++turn) run_loop();
  EXPECT_EQ(take(pipe.read_end, 64), "hello world");
  EXPECT_EQ(ring->dropped(), 0U);
}

TEST_F(Ring, DropsTheNewestAndCountsThem) {
  const auto pipe = make_pipe();
  const auto ring = OutputRing::create(*loop, pipe.write_end.ref(), 4).value();
  ring->push(bytes("abcdef"));
  ring->push(bytes("g"));
  EXPECT_EQ(ring->dropped(), 3U);
  EXPECT_TRUE(ring->flush(milliseconds{100}));
  EXPECT_EQ(take(pipe.read_end, 64), "abcd");
}

TEST_F(Ring, WrapsAround) {
  const auto pipe = make_pipe();
  const auto ring = OutputRing::create(*loop, pipe.write_end.ref(), 4).value();
  for (const std::string_view text : {"abc", "def", "ghi"}) {
    ring->push(bytes(text));
    EXPECT_TRUE(ring->flush(milliseconds{100}));
    EXPECT_EQ(take(pipe.read_end, 64), text);
  }
}

TEST_F(Ring, NeverBlocksOnAReaderThatDoesNotRead) {
  const auto pipe = make_pipe();
  const int pipe_size = ::fcntl(pipe.write_end.ref().number(), F_GETPIPE_SZ);
  ASSERT_GT(pipe_size, 0);
  const auto total = static_cast<std::size_t>(pipe_size) + 8192;
  const auto ring = OutputRing::create(*loop, pipe.write_end.ref(), total).value();
  ring->push(bytes(std::string(total, 'x')));
  EXPECT_FALSE(ring->flush(milliseconds{20}));
  std::size_t seen = 0;
  while (seen < total) {
    seen += take(pipe.read_end, 4096).size();
    std::ignore = ring->flush(milliseconds{0});
  }
  EXPECT_EQ(seen, total);
  EXPECT_EQ(ring->dropped(), 0U);
}

TEST_F(Ring, WaitsForANonBlockingReader) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  const auto mine = Fd::adopt(ends[0]);
  const auto theirs = Fd::adopt(ends[1]);
  constexpr std::size_t kTotal = 1U << 20U;
  const auto ring = OutputRing::create(*loop, mine.ref(), kTotal).value();
  ring->push(bytes(std::string(kTotal, 'x')));
  std::size_t seen = 0;
  while (seen < kTotal) {
    run_loop();
    seen += take(theirs, 65536).size();
  }
  EXPECT_EQ(seen, kTotal);
}

TEST_F(Ring, WritesRegularFilesThoughEpollRefusesThem) {
  const auto file = make_memfd("output", 0).value();
  const auto ring = OutputRing::create(*loop, file.ref(), 1U << 16U).value();
  ring->push(bytes(std::string(10'000, 'x')));
  run_loop();
  EXPECT_EQ(file_size(file.ref()).value(), 10'000U);
}

TEST_F(Ring, DropsEverythingOnceTheReaderIsGone) {
  ASSERT_NE(::signal(SIGPIPE, SIG_IGN), SIG_ERR);
  auto pipe = make_pipe();
  const auto ring = OutputRing::create(*loop, pipe.write_end.ref(), 64).value();
  pipe.read_end.close();
  ring->push(bytes("lost"));
  for (int turn = 0; turn < 3; ++turn) run_loop();
  ring->push(bytes("too"));
  EXPECT_EQ(ring->dropped(), 7U);
  ::signal(SIGPIPE, SIG_DFL);
}

TEST_F(Ring, TakesBytesFromAnotherThread) {
  const auto pipe = make_pipe();
  const auto ring = OutputRing::create(*loop, pipe.write_end.ref(), 1U << 16U).value();
  std::string expected;
  for (int count = 0; count < 1000; ++count) expected += static_cast<char>('a' + count % 26);
  std::jthread guest{[&] {
    for (const char letter : expected) ring->push(bytes({&letter, 1}));
    loop->post([this] { loop->stop(); });
  }};
  ASSERT_TRUE(loop->run());
  EXPECT_TRUE(ring->flush(milliseconds{100}));
  EXPECT_EQ(take(pipe.read_end, 4096), expected);
}

TEST_F(Ring, RefusesToBeEmpty) { EXPECT_THAT(OutputRing::create(*loop, FdRef{1}, 0), FailsWith(Errc::invalid)); }

}  // namespace
}  // namespace pcivm::vmm
