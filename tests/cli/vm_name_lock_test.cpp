// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_name_lock.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using test::TempRoot;
using testing::HasSubstr;

TEST(NameLock, IsTakenOnceAtATime) {
  const TempRoot temp;
  const auto root = temp.root();
  const auto first = NameLock::take(root, "web");
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(NameLock::take(root, "web"), FailsWith(Errc::busy, HasSubstr("a VM named 'web' is running")));
  EXPECT_THAT(NameLock::take(root, "db"), IsOk());
}

TEST(NameLock, LeavesNothingBehind) {
  const TempRoot temp;
  const auto root = temp.root();
  std::optional lock{NameLock::take(root, "web").value()};
  EXPECT_TRUE(root.exists("/run/pcivm/vm/web/lock"));
  lock.reset();
  EXPECT_FALSE(root.exists("/run/pcivm/vm/web"));
  EXPECT_THAT(NameLock::take(root, "web"), IsOk());
}

TEST(NameLock, TakesOverWhatAKilledSupervisorLeft) {
  const TempRoot temp;
  temp.file("/run/pcivm/vm/web/lock", "");
  const auto root = temp.root();
  EXPECT_THAT(NameLock::take(root, "web"), IsOk());
}

TEST(NameLock, FollowsNoLink) {
  const TempRoot temp;
  temp.file("/run/pcivm/vm/web/other", "");
  const auto root = temp.root();
  std::filesystem::create_symlink("other", root.host_path("/run/pcivm/vm/web/lock"));
  EXPECT_THAT(NameLock::take(root, "web"), FailsWith(Errc::kernel, HasSubstr("lock")));
}

}  // namespace
}  // namespace pcivm::cli
