// SPDX-License-Identifier: GPL-2.0-or-later
// The plays of tests/fuzz in short, with random input by fixed seeds.
#include <gtest/gtest.h>

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

TEST(HostileGuest, CannotBreakAnAssignedFunction) { play<test::AssignedPlay>(1000); }
TEST(HostileGuest, CannotReachRegistersThatAreNotItsOwn) { play<test::AssignedConfigPlay>(300); }
TEST(HostileGuest, FindsListsThatEndInAnyConfigurationSpace) { play<test::AssignedCapabilityPlay>(1000); }
TEST(HostileGuest, CannotBreakMsix) { play<test::AssignedMsixPlay>(1000); }
TEST(HostileGuest, CannotBreakBars) { play<test::AssignedBarsPlay>(1000); }
TEST(HostileGuest, CannotBreakTheWaysToConfigurationSpace) { play<test::PciBusPlay>(1000); }

}  // namespace
}  // namespace pcivm::vmm
