// SPDX-License-Identifier: GPL-2.0-or-later
// The plays of tests/fuzz in short, with random input by fixed seeds.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/vmm/assigned_bars_play.hpp"
#include "tests/vmm/assigned_capability_play.hpp"
#include "tests/vmm/assigned_config_play.hpp"
#include "tests/vmm/assigned_msix_play.hpp"
#include "tests/vmm/assigned_play.hpp"
#include "tests/vmm/pci_bus_play.hpp"

namespace pcivm::vmm {
namespace {

template <class Play>
void play(unsigned rounds) {
  for (unsigned seed = 0; seed < rounds; ++seed) {
    std::mt19937 random{seed};
    std::vector<std::uint8_t> input(40 + random() % 300);
    for (auto& byte : input) byte = static_cast<std::uint8_t>(random());
    ASSERT_EQ(Play{input}.run(), "") << "seed " << seed;
  }
}

/// What libFuzzer once found.
template <class Play>
void replay(const char* name) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator{std::filesystem::path{PCIVM_CORPUS} / name}) {
    std::ifstream file{entry.path(), std::ios::binary};
    const std::vector<std::uint8_t> input{std::istreambuf_iterator<char>{file}, {}};
    EXPECT_EQ(Play{input}.run(), "") << entry.path();
    ++files;
  }
  EXPECT_NE(files, 0);
}

TEST(HostileGuest, CannotBreakAnAssignedFunction) { play<test::AssignedPlay>(1000); }
TEST(HostileGuest, CannotReachRegistersThatAreNotItsOwn) { play<test::AssignedConfigPlay>(300); }
TEST(HostileGuest, FindsListsThatEndInAnyConfigurationSpace) { play<test::AssignedCapabilityPlay>(1000); }
TEST(HostileGuest, FindsListsThatEndWhereTheyOnceDidNot) {
  replay<test::AssignedCapabilityPlay>("assigned_capability");
}
TEST(HostileGuest, CannotBreakMsix) { play<test::AssignedMsixPlay>(1000); }
TEST(HostileGuest, CannotBreakBars) { play<test::AssignedBarsPlay>(1000); }
TEST(HostileGuest, CannotBreakBarsAsItOnceDid) { replay<test::AssignedBarsPlay>("assigned_bars"); }
TEST(HostileGuest, CannotBreakTheWaysToConfigurationSpace) { play<test::PciBusPlay>(1000); }

}  // namespace
}  // namespace pcivm::vmm
