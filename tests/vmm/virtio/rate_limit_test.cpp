// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/rate_limit.hpp"

#include <gtest/gtest.h>

namespace pcivm::vmm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr std::chrono::nanoseconds kNone{0};

class Rate : public testing::Test {
 protected:
  /// How much passes in a time, in pieces, by somebody who waits as told.
  std::uint64_t passes(RateLimit& limit, std::uint64_t piece, milliseconds time) {
    const auto end = now_ + time;
    std::uint64_t sum = 0;
    while (now_ < end) {
      if (const auto wait = limit.wait(now_); wait != kNone) {
        now_ += wait;
        continue;
      }
      limit.pass(piece, now_);
      sum += piece;
    }
    return sum;
  }
  RateLimit::Time now_{seconds{1000}};
};

TEST_F(Rate, HoldsOverTimeWhateverThePieces) {
  for (const std::uint64_t piece : {1U, 7U, 100U, 5000U}) {
    RateLimit limit{1000};
    (void)passes(limit, piece, milliseconds{1000});  // the burst is gone
    EXPECT_NEAR(static_cast<double>(passes(limit, piece, milliseconds{20000})), 20000, 5000) << piece;
  }
}

TEST_F(Rate, LetsABurstThroughAndNoMore) {
  RateLimit limit{1000};
  unsigned count = 0;
  for (; limit.wait(now_) == kNone; ++count) limit.pass(1, now_);
  EXPECT_EQ(count, 101U) << "a tenth of a second, and the one that ends it";
  EXPECT_EQ(limit.wait(now_), milliseconds{1});
  now_ += seconds{3600};
  for (count = 0; limit.wait(now_) == kNone; ++count) limit.pass(1, now_);
  EXPECT_EQ(count, 101U) << "idleness is not saved up";
}

TEST_F(Rate, LargerThanTheBucketWaitsAfterwards) {
  RateLimit limit{1000};
  EXPECT_EQ(limit.wait(now_), kNone);
  limit.pass(5000, now_);
  EXPECT_EQ(limit.wait(now_), milliseconds{4900});
  EXPECT_EQ(limit.wait(now_ + seconds{10}), kNone);
}

TEST_F(Rate, NoLimitNeverWaits) {
  RateLimit limit{0};
  EXPECT_FALSE(limit.limited());
  limit.pass(1ULL << 33U, now_);
  EXPECT_EQ(limit.wait(now_), kNone);
}

TEST_F(Rate, CountsLargeAmountsWithoutOverflow) {
  RateLimit limit{1};
  limit.pass((1ULL << 34U) - 1, now_);
  EXPECT_GT(limit.wait(now_), std::chrono::hours{24 * 365});
}

}  // namespace
}  // namespace pcivm::vmm
