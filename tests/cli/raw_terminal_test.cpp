// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/raw_terminal.hpp"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace pcivm::cli {
namespace {

// Runs `check` in a process whose stdin is a terminal of its own; its value is the child's exit code.
int on_terminal(const std::function<int()>& check) {
  int controller = -1;
  const pid_t child = ::forkpty(&controller, nullptr, nullptr, nullptr);
  if (child < 0) return -1;
  if (child == 0) ::_exit(check());
  int status = 0;
  (void)::waitpid(child, &status, 0);
  ::close(controller);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

tcflag_t local_flags() {
  termios mode{};
  (void)::tcgetattr(STDIN_FILENO, &mode);
  return mode.c_lflag;
}

TEST(RawTerminal, PassesEveryKeyAndRestoresTheMode) {
  EXPECT_EQ(on_terminal([] {
              const auto before = local_flags();
              {
                const RawTerminal terminal{FdRef{STDIN_FILENO}};
                if (!terminal) return 1;
                if ((local_flags() & (ICANON | ISIG | ECHO)) != 0) return 2;
              }
              return local_flags() == before ? 0 : 3;
            }),
            0);
}

TEST(RawTerminal, LeavesATerminalOfAnotherJobAlone) {
  EXPECT_EQ(on_terminal([] {
              // A child in a group of its own is in the background of this terminal.
              const pid_t background = ::fork();
              if (background == 0) {
                (void)::setpgid(0, 0);
                const RawTerminal terminal{FdRef{STDIN_FILENO}};
                ::_exit(!terminal && !may_read(FdRef{STDIN_FILENO}) ? 0 : 1);
              }
              int status = 0;
              (void)::waitpid(background, &status, 0);
              return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
            }),
            0);
}

TEST(RawTerminal, HoldsNothingOfAPipe) {
  int ends[2]{};
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_FALSE(static_cast<bool>(RawTerminal{FdRef{ends[0]}}));
  EXPECT_TRUE(may_read(FdRef{ends[0]}));
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_FALSE(may_read(FdRef{ends[0]}));
}

}  // namespace
}  // namespace pcivm::cli
