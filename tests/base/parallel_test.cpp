// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/parallel.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>

#include "tests/support/result_matchers.hpp"

namespace pcivm {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

TEST(Parallel, DoesEachOnceWithAnyNumberOfThreads) {
  for (const std::size_t threads : {0U, 1U, 3U, 1000U}) {
    std::array<std::atomic<int>, 50> done{};
    EXPECT_THAT(in_parallel(done.size(), threads,
                            [&](std::size_t index) -> Result<void> {
                              ++done.at(index);
                              return {};
                            }),
                IsOk());
    for (const auto& times : done) EXPECT_EQ(times, 1);
  }
}

TEST(Parallel, ToldOfAFailureBeginsNoMore) {
  std::size_t begun = 0;
  const auto outcome = in_parallel(50, 1, [&](std::size_t index) -> Result<void> {
    ++begun;
    if (index == 3) return fail(Errc::kernel, "the fourth");
    return {};
  });
  EXPECT_THAT(outcome, FailsWith(Errc::kernel, HasSubstr("the fourth")));
  EXPECT_EQ(begun, 4U);
}

TEST(Parallel, NothingIsDoneOfNothing) {
  EXPECT_THAT(in_parallel(0, 4, [](std::size_t) -> Result<void> { return fail(Errc::internal, "called"); }), IsOk());
}

}  // namespace
}  // namespace pcivm
