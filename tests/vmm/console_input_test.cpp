// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/console_input.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

// A guest that takes `room` bytes.
class Console : public testing::Test {
 protected:
  Console() {
    int ends[2]{};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    in_ = Fd::adopt(ends[0]);
    keys_ = Fd::adopt(ends[1]);
  }
  ConsoleInput::Callbacks callbacks(bool with_escape = false) {
    ConsoleInput::Callbacks made{.deliver =
                                     [this](std::span<const std::byte> data) {
                                       const auto count = std::min(room, data.size());
                                       room -= count;
                                       for (const auto byte : data.first(count)) taken += static_cast<char>(byte);
                                       return count;
                                     },
                                 .escape = {}};
    if (with_escape) made.escape = [this] { escaped = true; };
    return made;
  }
  // Whatever is ready, and what was posted.
  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    ASSERT_THAT(loop_->run(), test::IsOk());
  }
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  Fd in_;
  Fd keys_;
  std::size_t room{1000};
  std::string taken;
  bool escaped{};
};

TEST_F(Console, GivesKeysToTheGuest) {
  const auto input = ConsoleInput::create(*loop_, in_.ref(), callbacks()).value();
  ASSERT_THAT(write_all(keys_.ref(), "ls\r"), test::IsOk());
  turn();
  EXPECT_EQ(taken, "ls\r");
}

TEST_F(Console, KeepsWhatTheGuestCannotTakeYet) {
  room = 2;
  const auto input = ConsoleInput::create(*loop_, in_.ref(), callbacks()).value();
  ASSERT_THAT(write_all(keys_.ref(), "abcdef"), test::IsOk());
  turn();
  EXPECT_EQ(taken, "ab");
  room = 100;
  input->ready();
  EXPECT_EQ(taken, "abcdef");
  ASSERT_THAT(write_all(keys_.ref(), "g"), test::IsOk());
  turn();
  EXPECT_EQ(taken, "abcdefg");
}

TEST_F(Console, EndsAtTheEscapeKey) {
  const auto input = ConsoleInput::create(*loop_, in_.ref(), callbacks(true)).value();
  ASSERT_THAT(write_all(keys_.ref(), "a\x1dz"), test::IsOk());
  turn();
  EXPECT_TRUE(escaped);
  EXPECT_EQ(taken, "a");
}

TEST_F(Console, PassesTheEscapeKeyOnWithoutATerminal) {
  const auto input = ConsoleInput::create(*loop_, in_.ref(), callbacks()).value();
  ASSERT_THAT(write_all(keys_.ref(), "\x1d"), test::IsOk());
  turn();
  EXPECT_EQ(taken, "\x1d");
}

TEST_F(Console, StopsListeningAtTheEnd) {
  const auto input = ConsoleInput::create(*loop_, in_.ref(), callbacks()).value();
  keys_.close();
  turn();
  turn();
  EXPECT_EQ(taken, "");
}

TEST_F(Console, ReadsAFileAtTheGuestsPace) {
  const auto file = make_memfd("script", 0).value();
  const std::string text(1000, 'x');
  ASSERT_THAT(write_all(file.ref(), text), test::IsOk());
  ASSERT_EQ(::lseek(file.ref().number(), 0, SEEK_SET), 0);
  room = 300;
  const auto input = ConsoleInput::create(*loop_, file.ref(), callbacks()).value();
  EXPECT_EQ(taken.size(), 300U);
  room = 5000;
  input->ready();
  EXPECT_EQ(taken, text);
}

TEST_F(Console, TakesDevNull) {
  const auto null = open_path("/dev/null", O_RDONLY).value();
  EXPECT_THAT(ConsoleInput::create(*loop_, null.ref(), callbacks()), test::IsOk());
  EXPECT_EQ(taken, "");
}

}  // namespace
}  // namespace pcivm::vmm
