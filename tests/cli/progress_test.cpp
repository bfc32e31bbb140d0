// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/progress.hpp"

#include <gmock/gmock.h>

#include "tests/cli/run_command.hpp"

namespace pcivm::cli {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;

class ProgressLine : public testing::Test {
 protected:
  test::Capture screen;
  Progress progress{screen.stream()};
  Progress::Clock::time_point begin{};
};

TEST_F(ProgressLine, SaysNothingForHalfASecond) {
  progress.start("making 7 VFs", begin);
  progress.tick(begin + milliseconds{499});
  progress.stop();
  EXPECT_THAT(screen.take(), IsEmpty());
}

TEST_F(ProgressLine, IsWrittenOnceASecondAndRemoved) {
  progress.start("making 7 VFs", begin);
  for (const int now : {500, 600, 999, 1000, 1900}) progress.tick(begin + milliseconds{now});
  progress.stop();
  EXPECT_EQ(screen.take(),
            "\r\033[K\033[?7lmaking 7 VFs ...\033[?7h\r\033[K\033[?7lmaking 7 VFs ... 1 s\033[?7h\r\033[K");
}

TEST_F(ProgressLine, ComesBackAfterAMessage) {
  progress.start("x", begin);
  progress.tick(begin + milliseconds{700});
  progress.hide();
  progress.hide();
  progress.tick(begin + milliseconds{800});
  progress.stop();
  EXPECT_EQ(screen.take(), "\r\033[K\033[?7lx ...\033[?7h\r\033[K\r\033[K\033[?7lx ...\033[?7h\r\033[K");
}

TEST_F(ProgressLine, IsSilentWhenNothingGoesOn) {
  progress.tick(begin + std::chrono::hours{1});
  EXPECT_THAT(screen.take(), IsEmpty());
}

}  // namespace
}  // namespace pcivm::cli
