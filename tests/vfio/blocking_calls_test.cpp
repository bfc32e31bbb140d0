// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/blocking_calls.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::vfio {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FailsWith;
using test::IsOk;
using test::IsOkAnd;
using testing::Eq;
using testing::HasSubstr;

class Blocking : public testing::Test {
 protected:
  Blocking() {
    tree_.file("/sys/a", "one\n");
    EXPECT_EQ(::mkfifo(tree_.path("/sys/stuck").c_str(), 0600), 0);  // opening it waits for the other side
  }
  test::TempRoot tree_;
  SysRoot root_{tree_.root()};
  BlockingCalls calls_;
};

TEST_F(Blocking, ReadsAndWrites) {
  EXPECT_THAT(calls_.read(root_, "/sys/a", seconds{5}), IsOkAnd(Eq("one")));
  EXPECT_THAT(calls_.write(root_, "/sys/a", "two", seconds{5}), IsOk());
  EXPECT_THAT(calls_.read(root_, "/sys/a", seconds{5}), IsOkAnd(Eq("two")));
}

TEST_F(Blocking, TellsTheErrnoAndTheFile) {
  const auto read = calls_.read(root_, "/sys/none", seconds{5});
  EXPECT_THAT(read, FailsWith(Errc::not_found, HasSubstr("read '/sys/none'")));
  EXPECT_EQ(read.error().sys_errno(), ENOENT);
  EXPECT_THAT(calls_.write(root_, "/sys/none", "x", seconds{5}),
              FailsWith(Errc::not_found, HasSubstr("write 'x' to '/sys/none'")));
}

TEST_F(Blocking, GoesOnAfterACallThatBlocked) {
  EXPECT_THAT(calls_.read(root_, "/sys/stuck", milliseconds{50}),
              FailsWith(Errc::timeout, HasSubstr("read '/sys/stuck'")));
  EXPECT_THAT(calls_.read(root_, "/sys/a", seconds{5}), IsOkAnd(Eq("one")));
  calls_.renew();
  EXPECT_THAT(calls_.read(root_, "/sys/a", seconds{5}), IsOkAnd(Eq("one")));
}

}  // namespace
}  // namespace pcivm::vfio
