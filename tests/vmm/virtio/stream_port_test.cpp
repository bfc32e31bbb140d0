// SPDX-License-Identifier: GPL-2.0-or-later
// A socket pair, whose other end the test has: a well-behaved passt, or one that is not.
#include "vmm/virtio/stream_port.hpp"

#include <endian.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <numeric>

#include "tests/support/result_matchers.hpp"
#include "vmm/virtio/net_uapi.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kHeader = net_uapi::kHeader;

Bytes pattern(std::size_t length) {
  Bytes bytes(length);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

Bytes framed(const Bytes& frame) {
  const auto length = htobe32(static_cast<std::uint32_t>(frame.size()));
  Bytes bytes(4 + frame.size());
  std::memcpy(bytes.data(), &length, sizeof length);
  std::ranges::copy(frame, bytes.begin() + 4);
  return bytes;
}

/// With a header in front, in parts of `size`.
struct Parts {
  Parts(const Bytes& frame, std::size_t size) : bytes(kHeader + frame.size(), 0xff) {
    std::ranges::copy(frame, bytes.begin() + kHeader);
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      list.push_back({.iov_base = bytes.data() + at, .iov_len = std::min(size, bytes.size() - at)});
    }
  }
  Bytes bytes;
  std::vector<iovec> list;
};

class StreamPortTest : public testing::Test {
 protected:
  StreamPortTest() {
    (void)::signal(SIGPIPE, SIG_IGN);
    int ends[2]{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    EXPECT_EQ(::fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    EXPECT_EQ(::fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    const int small = 4096;
    EXPECT_EQ(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    peer_ = Fd::adopt(ends[1]);
    port_ = std::make_unique<StreamPort>(Fd::adopt(ends[0]), [this](const Error& why) { lost_.push_back(why.text()); });
  }
  void say(std::span<const std::uint8_t> bytes) {
    ASSERT_EQ(::write(peer_.ref().number(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  /// The next frame, without its header; empty when there is none. In parts of `size`.
  Bytes receive(std::size_t size = 1000) {
    Parts room{Bytes(70'000), size};
    const auto length = port_->receive(room.list, FramePort::kLongest);
    if (!length) return {};
    EXPECT_GE(*length, kHeader);
    EXPECT_TRUE(std::all_of(room.bytes.begin(), room.bytes.begin() + kHeader, [](auto byte) { return byte == 0; }));
    return {room.bytes.begin() + kHeader, room.bytes.begin() + static_cast<std::ptrdiff_t>(*length)};
  }
  void send(const Bytes& frame, std::size_t size = 1000) {
    const Parts parts{frame, size};
    port_->send(parts.list);
  }
  /// All that the peer has got until now, and what follows while it reads.
  Bytes heard(std::size_t at_once) {
    Bytes all;
    Bytes part(at_once);
    for (bool whole = false;;) {
      const auto count = ::read(peer_.ref().number(), part.data(), part.size());
      if (count > 0) {
        all.insert(all.end(), part.begin(), part.begin() + count);
      } else if (whole) {
        return all;
      } else {
        whole = port_->can_send();
      }
    }
  }

  Fd peer_;
  std::vector<std::string> lost_;
  std::unique_ptr<StreamPort> port_;
};

TEST_F(StreamPortTest, ReceivesFramesSplitAnywhere) {
  const auto first = pattern(20);
  const auto second = pattern(33);
  auto bytes = framed(first);
  std::ranges::copy(framed(second), std::back_inserter(bytes));
  for (std::size_t split = 1; split < bytes.size(); ++split) {
    SCOPED_TRACE(split);
    std::vector<Bytes> frames;
    const auto collect = [&] {
      for (auto frame = receive(7); !frame.empty(); frame = receive(7)) frames.push_back(frame);
    };
    say(std::span{bytes}.first(split));
    collect();
    say(std::span{bytes}.subspan(split));
    collect();
    EXPECT_THAT(frames, ElementsAre(first, second));
  }
  EXPECT_THAT(lost_, ElementsAre());
}

TEST_F(StreamPortTest, ReceivesByteByByte) {
  const auto frame = pattern(300);
  const auto bytes = framed(frame);
  for (std::size_t at = 0; at + 1 < bytes.size(); ++at) {
    say(std::span{bytes}.subspan(at, 1));
    EXPECT_EQ(receive(), Bytes{});
  }
  say(std::span{bytes}.last(1));
  EXPECT_EQ(receive(), frame);
}

TEST_F(StreamPortTest, ReceivesMoreThanItHolds) {
  std::vector<Bytes> sent;
  std::vector<Bytes> came;
  for (std::size_t length = 1; length < 66'000; length += 2'111) {
    sent.push_back(pattern(length));
    const auto bytes = framed(sent.back());
    for (std::size_t at = 0; at < bytes.size();) {
      const auto count = ::write(peer_.ref().number(), bytes.data() + at, bytes.size() - at);
      if (count > 0) at += static_cast<std::size_t>(count);
      if (at < bytes.size()) {
        if (auto frame = receive(); !frame.empty()) came.push_back(frame);
      }
    }
  }
  for (auto frame = receive(); !frame.empty(); frame = receive()) came.push_back(frame);
  EXPECT_EQ(came, sent);
}

TEST_F(StreamPortTest, TellsTheLengthOfWhatDoesNotFit) {
  say(framed(pattern(100)));
  say(framed(pattern(30)));
  Parts room{Bytes(50 - kHeader), 50};
  EXPECT_EQ(port_->receive(room.list, 111), 100 + kHeader) << "it stays";
  EXPECT_EQ(port_->receive(room.list, FramePort::kLongest), 100 + kHeader);
  EXPECT_EQ(receive(), pattern(30)) << "the rest is skipped";
}

TEST_F(StreamPortTest, LengthsThatMakeNoSenseEndTheLink) {
  for (const std::uint32_t length : {0U, 65536U + 64U - 12U + 1U, 0x80000000U, 0xffffffffU}) {
    lost_.clear();
    int ends[2]{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    peer_ = Fd::adopt(ends[1]);
    StreamPort port{Fd::adopt(ends[0]), [this](const Error& why) { lost_.push_back(why.text()); }};
    std::array<std::uint8_t, 4> bytes{};
    const auto prefix = htobe32(length);
    std::memcpy(bytes.data(), &prefix, sizeof prefix);
    say(bytes);
    Parts room{Bytes(100), 100};
    EXPECT_EQ(port.receive(room.list, FramePort::kLongest), std::nullopt);
    EXPECT_TRUE(port.gone());
    EXPECT_THAT(lost_, ElementsAre(HasSubstr(std::to_string(length) + " bytes came")));
    EXPECT_EQ(::read(peer_.ref().number(), bytes.data(), 1), 0) << "the process sees the end";
    EXPECT_EQ(port.receive(room.list, FramePort::kLongest), std::nullopt);
    EXPECT_EQ(lost_.size(), 1U);
  }
}

TEST_F(StreamPortTest, SendsFramesWithoutTheHeader) {
  ASSERT_TRUE(port_->can_send());
  for (const std::size_t size : {1U, 5U, 12U, 13U, 1000U}) {
    send(pattern(60), size);
    EXPECT_EQ(heard(1000), framed(pattern(60))) << size;
  }
}

TEST_F(StreamPortTest, SendsTheRestWhenThereIsRoom) {
  for (const std::size_t length : {14U, 1'500U, 9'000U, 40'000U, 65'535U}) {
    SCOPED_TRACE(length);
    Bytes wanted;
    // Until the socket is full.
    for (unsigned count = 0; count < 100 && port_->can_send(); ++count) {
      send(pattern(length));
      std::ranges::copy(framed(pattern(length)), std::back_inserter(wanted));
    }
    EXPECT_FALSE(port_->can_send());
    EXPECT_EQ(heard(777), wanted);
    EXPECT_TRUE(port_->can_send());
  }
  EXPECT_THAT(lost_, ElementsAre());
}

TEST_F(StreamPortTest, LosesWhatTheProcessWouldEndAt) {
  for (const std::size_t length : {0U, 1U, 13U, 65'536U}) send(pattern(length));
  EXPECT_EQ(heard(1000), Bytes{});
  EXPECT_TRUE(port_->can_send());
}

TEST_F(StreamPortTest, TellsOnceThatTheProcessIsGone) {
  say(framed(pattern(20)));
  const auto next = framed(pattern(20));
  say(std::span{next}.first(7));
  peer_.close();
  EXPECT_EQ(receive(), pattern(20)) << "what came before is there";
  EXPECT_EQ(receive(), Bytes{});
  EXPECT_TRUE(port_->gone());
  EXPECT_THAT(lost_, ElementsAre(HasSubstr("is gone")));
  send(pattern(60));
  EXPECT_TRUE(port_->can_send());
  EXPECT_EQ(receive(), Bytes{});
  EXPECT_EQ(lost_.size(), 1U);
}

TEST_F(StreamPortTest, FindsOutBySendingAsWell) {
  peer_.close();
  send(pattern(60));
  EXPECT_TRUE(port_->gone());
  EXPECT_EQ(lost_.size(), 1U);
}

TEST_F(StreamPortTest, ForgetsTheRestWhenTheProcessIsGone) {
  while (port_->can_send()) send(pattern(40'000));
  peer_.close();
  EXPECT_TRUE(port_->can_send());
  EXPECT_TRUE(port_->gone());
  EXPECT_EQ(lost_.size(), 1U);
}

}  // namespace
}  // namespace pcivm::vmm
