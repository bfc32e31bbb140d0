// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

// The fuzzer's own source, so that what is fuzzed is what runs here.
#include "tests/fuzz/config_fuzz.cpp"

namespace pcivm::cli {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::vector<Bytes> corpus() {
  std::vector<Bytes> inputs;
  for (const auto& file : std::filesystem::directory_iterator{PCIVM_CORPUS "/config"}) {
    std::ifstream stream{file.path(), std::ios::binary};
    inputs.emplace_back(std::istreambuf_iterator<char>{stream}, std::istreambuf_iterator<char>{});
  }
  return inputs;
}

/// One small change, or a piece of another input.
void change(Bytes& input, const Bytes& other, std::mt19937& random) {
  const auto index = [&random](const Bytes& bytes) { return static_cast<std::ptrdiff_t>(random() % bytes.size()); };
  if (input.empty() || other.empty()) return;
  constexpr std::string_view kMeaningful{"\n\t :-,[]{}\"'&*!|>%#?0x_\\"};
  switch (random() % 4) {
    case 0: *(input.begin() + index(input)) = static_cast<std::uint8_t>(random()); break;
    case 1: {
      const auto meaningful = static_cast<std::uint8_t>(kMeaningful[random() % kMeaningful.size()]);
      input.insert(input.begin() + index(input), meaningful);
      break;
    }
    case 2: input.erase(input.begin() + index(input)); break;
    default: {
      const auto from = other.begin() + index(other);
      const auto length = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(random() % 40), other.end() - from);
      input.insert(input.begin() + index(input), from, from + length);
    }
  }
}

TEST(ConfigFuzz, HoldsForTheCorpusAndChangesOfIt) {
  const auto inputs = corpus();
  ASSERT_GT(inputs.size(), 5U);
  std::mt19937 random{20261126};
  for (const auto& input : inputs) {
    ASSERT_EQ(LLVMFuzzerTestOneInput(input.data(), input.size()), 0);
    for (int round = 0; round < 100; ++round) {
      auto changed = input;
      for (auto changes = 1 + random() % 4; changes > 0; --changes)
        change(changed, inputs[random() % inputs.size()], random);
      ASSERT_EQ(LLVMFuzzerTestOneInput(changed.data(), changed.size()), 0);
    }
  }
}

}  // namespace
}  // namespace pcivm::cli
