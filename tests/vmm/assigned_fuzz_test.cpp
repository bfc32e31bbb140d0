// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/vmm/assigned_play.hpp"

namespace pcivm::vmm {
namespace {

TEST(AssignedHostileGuest, CannotBreakWhatMustHold) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    std::mt19937 random{seed};
    std::vector<std::uint8_t> input(40 + random() % 300);
    for (auto& byte : input) byte = static_cast<std::uint8_t>(random());
    ASSERT_EQ(test::AssignedPlay{input}.run(), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace pcivm::vmm
