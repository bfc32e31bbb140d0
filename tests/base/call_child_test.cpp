// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/call_child.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/result_matchers.hpp"

namespace pcivm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

CallChild echo() {
  return CallChild::start([](std::string_view request) {
           if (request == "block") ::pause();
           if (request == "die") ::raise(SIGKILL);
           return std::to_string(::getpid()) + ":" + std::string{request};
         })
      .value();
}

TEST(CallChild, CarriesEveryCallInOneProcess) {
  auto child = echo();
  const auto first = child.ask("a", seconds{5}).value();
  EXPECT_EQ(child.ask("b", seconds{5}).value(), first.substr(0, first.find(':')) + ":b");
  EXPECT_NE(first, std::to_string(::getpid()) + ":a");
  const std::string most(CallChild::kMost - 20, 'x');
  EXPECT_THAT(*child.ask(most, seconds{5}), testing::EndsWith(most));
  EXPECT_THAT(child.ask(std::string(CallChild::kMost + 1, 'x'), seconds{5}), FailsWith(Errc::kernel));
}

TEST(CallChild, IsGivenUpWhenACallBlocks) {
  auto child = echo();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(child.ask("block", milliseconds{50}), FailsWith(Errc::timeout, HasSubstr("after 50 ms")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds{4});
  EXPECT_FALSE(child.usable());
}

TEST(CallChild, SaysThatItDied) {
  auto child = echo();
  EXPECT_THAT(child.ask("die", seconds{5}), FailsWith(Errc::internal, HasSubstr("died")));
  EXPECT_FALSE(child.usable());
}

TEST(CallChild, LeavesNoProcessBehind) {
  pid_t pid{};
  {
    auto child = echo();
    pid = std::stoi(child.ask("a", seconds{5}).value());
    ASSERT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

}  // namespace
}  // namespace pcivm
