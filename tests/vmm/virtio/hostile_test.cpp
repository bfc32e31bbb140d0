// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/vmm/virtio/virtio_play.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::TransportRig;

TEST(VirtioHostileGuest, CannotBreakWhatMustHold) {
  unsigned answered = 0;
  unsigned plugs = 0;
  for (unsigned seed = 0; seed < 900; ++seed) {
    std::mt19937 random{seed};
    std::vector<std::uint8_t> input(100 + random() % 1500);
    for (auto& byte : input) byte = static_cast<std::uint8_t>(random());
    pcivm::test::VirtioPlay play{input};
    ASSERT_EQ(play.run(), "") << "seed " << seed;
    answered += play.answered();
    plugs += play.plugs();
  }
  EXPECT_GT(answered, 80U) << "the rings are hardly reached";
  EXPECT_GT(plugs, 40U) << "memory hardly comes or goes";
}

// What libFuzzer found worth keeping (tests/fuzz/virtio_fuzz.cpp).
TEST(VirtioHostileGuest, CorpusHolds) {
  unsigned files = 0;
  for (const auto& entry : std::filesystem::directory_iterator{std::filesystem::path{PCIVM_CORPUS} / "virtio"}) {
    std::ifstream file{entry.path(), std::ios::binary};
    const std::vector<char> text{std::istreambuf_iterator<char>{file}, {}};
    std::vector<std::uint8_t> input(text.size());
    std::ranges::transform(text, input.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
    pcivm::test::VirtioPlay play{input};
    EXPECT_EQ(play.run(), "") << entry.path();
    ++files;
  }
  EXPECT_GT(files, 0U);
}

// Every register of the common structure, every offset around, at sizes 1 to 8.
TEST(VirtioHostileGuest, EveryAccessOfEverySizeIsAnswered) {
  pcivm::test::TransportRig rig;
  std::mt19937_64 random{3};
  for (const auto base : {TransportRig::kCommon, TransportRig::kIsr, TransportRig::kDevice, TransportRig::kNotify,
                          TransportRig::kTable, TransportRig::kBar + 0x6000, TransportRig::kBar + 0x7ff0}) {
    for (unsigned offset = 0; offset < 0x48; ++offset) {
      for (unsigned size = 1; size <= 8; ++size) {
        rig.enable();
        rig.store(base + offset, size, random());
        (void)rig.load(base + offset, size);
      }
    }
  }
  rig.transport->reset();
  rig.run();
  EXPECT_EQ(rig.status(), 0xfU) << "as good as new";
}

}  // namespace
}  // namespace pcivm::vmm
