// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/timeline.hpp"

#include <gmock/gmock.h>

#include "tests/fakes/fake_ioctls.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {
namespace {

TEST(Timeline, KeepsTheFirstStampOfAPhase) {
  Timeline timeline;
  EXPECT_FALSE(timeline.at(Phase::guest_init).has_value());
  timeline.stamp(Phase::guest_init);
  const auto first = timeline.at(Phase::guest_init);
  timeline.stamp(Phase::guest_init);
  EXPECT_EQ(timeline.at(Phase::guest_init), first);
}

TEST(Timeline, ListsPhasesAsTheyCame) {
  Timeline timeline;
  timeline.stamp(Phase::exec);
  timeline.stamp(Phase::memory_mapped);
  timeline.stamp(Phase::first_instruction);
  const auto phases = phases_of(timeline);
  ASSERT_EQ(phases.size(), 3U);
  EXPECT_EQ(phases[0].first, "exec");
  EXPECT_LE(phases[0].second, phases[1].second);
}

TEST(CountingIoctl, CountsByKindButNotKvmRun) {
  test::FakeIoctls kernel;
  kernel.always(KVM_RUN, 0);
  kernel.always(KVM_CREATE_VM, 5);
  CountingIoctl port{kernel};
  EXPECT_EQ(port.call(FdRef{0}, KVM_CREATE_VM, nullptr), 5);
  EXPECT_EQ(port.call(FdRef{0}, KVM_CREATE_VM, nullptr), 5);
  EXPECT_EQ(port.call(FdRef{0}, KVM_RUN, nullptr), 0);
  EXPECT_EQ(port.call(FdRef{0}, 0x1234, nullptr), -ENOTTY);
  EXPECT_THAT(named_counts(port), testing::ElementsAre(testing::Pair("KVM_CREATE_VM", 2), testing::Pair("0x1234", 1)));
  EXPECT_EQ(count_of(port, KVM_CREATE_VM), 2U);
}

}  // namespace
}  // namespace pcivm::vmm
