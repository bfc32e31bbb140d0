// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <random>
#include <vector>

// The fuzzer's own source, so that what is fuzzed is what runs here.
#include "tests/fuzz/legacy_fuzz.cpp"

namespace pcivm::vmm {
namespace {

TEST(LegacyFuzz, SurvivesThousandsOfRandomAccessSequences) {
  std::mt19937 random{20231114};
  std::vector<std::uint8_t> input(250);
  for (int round = 0; round < 2000; ++round) {
    for (auto& byte : input) byte = static_cast<std::uint8_t>(random());
    ASSERT_EQ(LLVMFuzzerTestOneInput(input.data(), input.size()), 0);
  }
}

}  // namespace
}  // namespace pcivm::vmm
