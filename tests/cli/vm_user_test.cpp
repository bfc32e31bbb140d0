// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_user.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

class VmUserTest : public testing::Test {
 protected:
  VmUserTest() { temp.directory("/run/pcivm"); }
  const test::TempRoot temp;
  const SysRoot root{temp.root()};
};

TEST_F(VmUserTest, IsNobodyElsesAsLongAsItLives) {
  std::optional first{VmUser::take(root).value()};
  const auto second = VmUser::take(root).value();
  EXPECT_GE(first->number(), VmUser::kFirst);
  EXPECT_LT(first->number(), VmUser::kFirst + VmUser::kCount);
  EXPECT_NE(first->number(), second.number());
  const auto number = first->number();
  first.reset();
  EXPECT_EQ(VmUser::take(root).value().number(), number) << "the turn starts at the process";
}

TEST_F(VmUserTest, IsKeptByAProcessAndGoesWithIt) {
  const auto ours = VmUser::take(root).value();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto theirs = VmUser::take(root);
    ::_exit(theirs && theirs->number() != ours.number() ? 0 : 1);
  }
  int status{};
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace pcivm::cli
