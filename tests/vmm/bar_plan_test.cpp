// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/bar_plan.hpp"

#include <gtest/gtest.h>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using testing::HasSubstr;

const platform::Window kWindow64{.base = {64 * kGiB}, .length = 64 * kGiB};

TEST(BarPlan, AlignsEachBarToItsSize) {
  const std::vector<DeviceBars> devices{{"a", {{.index = 0, .size = 0x4000}, {.index = 2, .size = 0x100000}}},
                                        {"b", {{.index = 0, .size = 0x20000, .is_64bit = true}}}};
  const auto plan = plan_bars(devices).value();
  ASSERT_EQ(plan.sites.size(), 3U);
  for (const auto& site : plan.sites) {
    for (const auto& bar : devices[site.device].bars) {
      if (bar.index != site.bar) continue;
      EXPECT_EQ(site.address(kWindow64) % bar.size, 0U);
    }
  }
  EXPECT_EQ(plan.window64_length, 0U);
}

TEST(BarPlan, GivesSmallBarsAPageEach) {
  const std::vector<DeviceBars> devices{{"a", {{.index = 0, .size = 0x100}, {.index = 1, .size = 0x80}}}};
  const auto plan = plan_bars(devices).value();
  EXPECT_EQ(plan.sites[0].offset, platform::kPciWindow32.base.value);
  EXPECT_EQ(plan.sites[1].offset, platform::kPciWindow32.base.value + kPageSize);
}

TEST(BarPlan, SendsLargeBarsAboveRamLargestFirst) {
  const std::vector<DeviceBars> devices{
      {"a", {{.index = 0, .size = 32 * kMiB, .is_64bit = true}, {.index = 2, .size = 16 * kGiB, .is_64bit = true}}}};
  const auto plan = plan_bars(devices).value();
  EXPECT_EQ(plan.sites[0].address(kWindow64), 64 * kGiB);
  EXPECT_EQ(plan.sites[1].address(kWindow64), 80 * kGiB);
  EXPECT_EQ(plan.window64_length, 16 * kGiB + 32 * kMiB);
  EXPECT_EQ(plan.window64_alignment, 16 * kGiB);
}

TEST(BarPlan, SpillsSixtyFourBitBarsWhenTheLowWindowIsFull) {
  const std::vector<DeviceBars> devices{{"a", {{.index = 0, .size = 512 * kMiB}}},
                                        {"b", {{.index = 0, .size = 0x4000, .is_64bit = true}}}};
  const auto plan = plan_bars(devices).value();
  EXPECT_FALSE(plan.sites[0].high);
  EXPECT_TRUE(plan.sites[1].high);
}

TEST(BarPlan, KeepsPortsInTheirWindow) {
  const std::vector<DeviceBars> devices{{"a", {{.index = 0, .size = 0x20, .io = true}}}};
  EXPECT_EQ(plan_bars(devices).value().sites[0].offset, platform::port::kPciWindow);
}

TEST(BarPlan, NamesTheDeviceThatDoesNotFit) {
  const std::vector<DeviceBars> huge{{"0000:01:00.0", {{.index = 1, .size = kGiB}}}};
  EXPECT_THAT(plan_bars(huge), FailsWith(Errc::invalid, HasSubstr("0000:01:00.0")));
  const std::vector<DeviceBars> odd{{"d", {{.index = 1, .size = 3000}}}};
  EXPECT_THAT(plan_bars(odd), FailsWith(Errc::invalid, HasSubstr("power of two")));
}

}  // namespace
}  // namespace pcivm::vmm
