// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/nvme_adapter.hpp"

#include <gtest/gtest.h>

#include "sriov/adapter_trail.hpp"
#include "sriov/nvme_share.hpp"
#include "sriov/nvme_status.hpp"
#include "sriov/vf_set.hpp"
#include "tests/fakes/fake_nvme.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/journal.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::FakeNvme;
using test::Fault;
using test::IsOk;
using test::IsOkAnd;
using test::Killed;
using testing::Eq;
using testing::HasSubstr;

const std::string kPf{"0000:03:00.0"};

class Nvme : public testing::Test {
 protected:
  Nvme() {
    host_.users_of = [this](const SysRoot&, Bdf function) {
      return function == bdf(kPf) ? users_ : std::vector<iommu::InUse>{};
    };
    host_.note = [this](std::string_view text) { notes_ += text; };
  }
  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  vfio::HostLock lock() { return vfio::HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  CreateRequest request(unsigned count, Settings settings = {}) {
    return {.physical = bdf(kPf),
            .targets = targets_for(count, "vfio-pci"),
            .settings = std::move(settings),
            .adapters = kinds_};
  }
  Result<Created> create(unsigned count, Settings settings = {}) {
    return sriov::create(host_, lock(), request(count, std::move(settings)));
  }
  Result<bool> destroy() { return sriov::destroy(host_, lock(), {.physical = bdf(kPf), .adapters = kinds_}); }
  Result<std::vector<vfio::Repair>> recover() { return sriov::recover(host_, lock(), nullptr, kinds_); }
  Result<Profile> profile(unsigned index) {
    return kinds_.front().make({.host = host_, .physical = bdf(kPf)}).value()->profile(index);
  }
  void expect_untouched(int n = 0) {
    EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U) << n;
    EXPECT_EQ(drive_.queues, (FakeNvme::Pool{.total = 8, .of_primary = 8, .next_of_primary = 8, .most = 4})) << n;
    EXPECT_EQ(drive_.interrupts, (FakeNvme::Pool{.total = 4, .of_primary = 4, .next_of_primary = 4, .most = 2})) << n;
    for (const auto& [id, controller] : drive_.controllers) EXPECT_EQ(controller, FakeNvme::Controller{}) << n;
    EXPECT_EQ(drive_.namespaces, kNamespaces) << n;
    EXPECT_TRUE(vfio::left_over(kernel_.root())->empty()) << n;
    EXPECT_FALSE(kernel_.root().exists("/run/pcivm/adapted/" + kPf)) << n;
  }
  void expect_made(int n = 0) {
    EXPECT_EQ(drive_.controllers[5], (FakeNvme::Controller{.queues = 2, .interrupts = 1, .online = true})) << n;
    EXPECT_EQ(drive_.controllers[6], (FakeNvme::Controller{.queues = 2, .interrupts = 1, .online = true})) << n;
    EXPECT_EQ(drive_.namespaces[3], (std::set<std::uint16_t>{5, 6})) << n;
    EXPECT_EQ(drive_.namespaces[1], (std::set<std::uint16_t>{1})) << n;
    EXPECT_EQ(kernel_.at(FakeKernel::vf_name(kPf, 1)).driver, "vfio-pci") << n;
    EXPECT_TRUE(vfio::left_over(kernel_.root())->empty()) << n;
  }
  template <class Change>
  bool killed_at(Fault::Kind kind, int n, Change change) {
    kernel_.inject({.kind = kind, .at = n});
    bool killed{};
    try {
      EXPECT_THAT(change(), IsOk());
    } catch (const Killed&) {
      killed = true;
    }
    kernel_.inject({});
    return killed;
  }

  const std::map<std::uint32_t, std::set<std::uint16_t>> kNamespaces{{1, {1}}, {2, {1}}, {3, {}}};
  const Settings kTwo{{"vq", "2"}, {"vi", "1"}, {"namespaces", "3"}};
  FakeKernel kernel_;
  FakeNvme drive_{kernel_, kPf, 4};
  std::vector<iommu::InUse> users_;
  std::string notes_;
  vfio::Host host_{.root = kernel_.root(), .users_of = {}};
  std::vector<AdapterKind> kinds_{nvme_adapter(drive_.ioctls)};
};

TEST_F(Nvme, EachVfGetsAnEvenShareAndIsOnlineBeforeItHasADriver) {
  ASSERT_THAT(create(4), IsOk());
  for (const auto& [id, controller] : drive_.controllers) {
    EXPECT_EQ(controller, (FakeNvme::Controller{.queues = 2, .interrupts = 1, .online = true})) << id;
  }
  EXPECT_EQ(drive_.resets, 1);
  EXPECT_EQ(drive_.queues.of_primary, 0U);
  EXPECT_EQ(drive_.namespaces, kNamespaces);
  ASSERT_THAT(destroy(), IsOk());
  EXPECT_EQ(drive_.resets, 2);
  expect_untouched();
}

TEST_F(Nvme, ASettingTakesNoMoreFromTheDriveThanIsNeeded) {
  ASSERT_THAT(create(2, kTwo), IsOk());
  expect_made();
  EXPECT_EQ(drive_.queues.of_primary, 4U);
  EXPECT_EQ(drive_.interrupts.of_primary, 2U);
  ASSERT_THAT(destroy(), IsOk());
  expect_untouched();
}

TEST_F(Nvme, NothingIsResetWhenEnoughIsFree) {
  drive_.queues.of_primary = 4;
  drive_.interrupts.of_primary = 2;
  users_ = {{"mount", "/data -> nvme0n1 -> " + kPf}};
  ASSERT_THAT(create(2, kTwo), IsOk());
  EXPECT_EQ(drive_.resets, 0);
}

TEST_F(Nvme, ADriveInUseIsNotReset) {
  users_ = {{"mount", "/data -> nvme0n1 -> " + kPf}};
  kernel_.inject({});
  EXPECT_THAT(create(2), FailsWith(Errc::busy, HasSubstr("/data -> nvme0n1")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Nvme, ADriveThatCameIntoUseKeepsItsVfsResourcesUntilTheNextRemoval) {
  ASSERT_THAT(create(2, kTwo), IsOk());
  users_ = {{"mount", "/data -> nvme0n1 -> " + kPf}};
  EXPECT_THAT(destroy(), IsOkAnd(Eq(true)));
  EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U);
  EXPECT_THAT(notes_, HasSubstr("is not put back as it was before its VFs"));
  EXPECT_EQ(drive_.queues.of_primary, 4U);
  ASSERT_THAT(create(2, kTwo), IsOk());
  users_.clear();
  ASSERT_THAT(destroy(), IsOk());
  expect_untouched();
}

TEST_F(Nvme, ShowsWhatAVfHas) {
  ASSERT_THAT(create(2, {{"namespaces", "1,3"}}), IsOk());
  EXPECT_THAT(profile(1),
              IsOkAnd(Eq(Profile{
                  {"controllerId", "6"}, {"state", "online"}, {"vq", "4"}, {"vi", "2"}, {"namespaces", "1,3"}})));
}

TEST_F(Nvme, WhatCannotBeIsRefusedBeforeAnythingIsTouched) {
  kernel_.inject({});
  EXPECT_THAT(create(2, {{"vq", "x"}}), FailsWith(Errc::invalid, HasSubstr("--set vq: 'x' is not")));
  EXPECT_THAT(create(2, {{"namespaces", "1,"}}), FailsWith(Errc::invalid, HasSubstr("--set namespaces")));
  EXPECT_THAT(create(2, {{"namespaces", "9"}}), FailsWith(Errc::invalid, HasSubstr("no namespace 9; it has 1, 2, 3")));
  EXPECT_THAT(create(2, {{"vq", "1"}}), FailsWith(Errc::invalid, HasSubstr("each needs 2")));
  const auto many = create(4, {{"vq", "3"}});
  EXPECT_THAT(many, FailsWith(Errc::invalid, HasSubstr("the drive has 8, at most 4 for one")));
  EXPECT_EQ(many.error().hint(), "--set vq=2");
  EXPECT_THAT(create(2, {{"vp", "2"}}).error().hint(), HasSubstr("did you mean"));
  drive_.virtualization = false;
  EXPECT_THAT(create(2, kTwo), FailsWith(Errc::invalid, HasSubstr("no virtualization management")));
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_THAT(create(2), IsOk());
}

TEST_F(Nvme, ADriveThatDoesNotComeBackFromItsResetIsTold) {
  drive_.state_after_reset = "dead";
  EXPECT_THAT(create(2), FailsWith(Errc::stranded, HasSubstr("its controller is now 'dead'")));
  drive_.state_after_reset = "live";
  ASSERT_THAT(recover(), IsOk());
  expect_untouched();
}

TEST_F(Nvme, CreationIsUndoneWhicheverCommandOrWriteFails) {
  int failures{};
  for (int n = 1; n < 100; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = EIO});
    if (create(2, kTwo)) break;
    ++failures;
    expect_untouched(n);
  }
  // two allotments, reset, autoprobe, numvfs, twice (vi, vq, online, namespace, override, probe), autoprobe
  EXPECT_EQ(failures, 18);
}

TEST_F(Nvme, ACommandThatDidNothingIsFoundAndUndone) {
  for (const int n : {1, 2, 3, 6, 7, 9, 12}) {
    kernel_.inject({.kind = Fault::Kind::lie, .at = n});
    EXPECT_THAT(create(2, kTwo), FailsWith(Errc::rolled_back)) << n;
    expect_untouched(n);
  }
}

TEST_F(Nvme, RemovalIsUndoneWhileTheVfsAreThere) {
  ASSERT_THAT(create(2, kTwo), IsOk());
  for (int n = 1; n <= 11; ++n) {  // two unbinds, twice four commands, numvfs
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = EIO});
    EXPECT_THAT(destroy(), FailsWith(Errc::rolled_back)) << n;
    expect_made(n);
  }
}

TEST_F(Nvme, AnInterruptedCreationIsUndoneLater) {
  for (const auto kind : {Fault::Kind::kill, Fault::Kind::kill_late}) {
    int kills{};
    while (kills < 100 && killed_at(kind, kills + 1, [this] { return create(2, kTwo); })) {
      ++kills;
      ASSERT_THAT(recover(), IsOk());
      expect_untouched(kills);
    }
    EXPECT_EQ(kills, 18);
    ASSERT_THAT(destroy(), IsOk());
  }
}

TEST_F(Nvme, AnInterruptedRemovalIsCompletedLater) {
  ASSERT_THAT(create(2, kTwo), IsOk());
  int kills{};
  while (kills < 100 && killed_at(Fault::Kind::kill, kills + 1, [this] { return destroy(); })) {
    ++kills;
    ASSERT_THAT(recover(), IsOk());
    expect_untouched(kills);
    ASSERT_THAT(create(2, kTwo), IsOk());
  }
  EXPECT_EQ(kills, 14);
}

TEST_F(Nvme, AllSecondaryControllersAreFoundBeyondOneList) {
  for (std::uint16_t id = 9; id < 305; ++id) drive_.controllers[id] = {};
  auto admin = NvmeAdmin::open(host_, drive_.ioctls, bdf(kPf));
  ASSERT_THAT(admin, IsOk());
  EXPECT_EQ(admin->secondaries()->size(), 300U);
}

TEST(NvmeStatus, IsToldInWords) {
  EXPECT_EQ(nvme_status_text(0x4120), "invalid secondary controller state (NVMe status 0x4120)");
  EXPECT_EQ(nvme_status_text(0x11f), "invalid controller identifier (NVMe status 0x11f)");
  EXPECT_EQ(nvme_status_text(0x1ff), "refused (NVMe status 0x1ff)");
  EXPECT_THAT(nvme_error(0x4121, "assign").hint(), HasSubstr("--set vq=N"));
}

TEST(NvmeShare, OnlyWhatIsMissingIsTakenFromThePrimary) {
  const NvmeFlexible have{.total = 10, .of_secondaries = 2, .of_primary = 5, .most = 8};
  EXPECT_THAT(primary_keeps(have, NvmeResource::queues, 2, 4), IsOkAnd(Eq(5U)));
  EXPECT_THAT(primary_keeps(have, NvmeResource::queues, 2, 8), IsOkAnd(Eq(2U)));
  EXPECT_THAT(primary_keeps(have, NvmeResource::queues, 0, 9), FailsWith(Errc::invalid, HasSubstr("hold 2")));
}

TEST(NvmeShare, IsEvenAndKeepsToTheGranularity) {
  const NvmeFlexible have{.total = 22, .of_primary = 22, .most = 16, .granularity = 4};
  EXPECT_THAT(share_of(have, NvmeResource::queues, {}, 2), IsOkAnd(Eq(8U)));
  EXPECT_THAT(share_of(have, NvmeResource::queues, {.queues = 6}, 2), FailsWith(Errc::invalid, HasSubstr("of 4")));
  EXPECT_THAT(share_of({}, NvmeResource::interrupts, {}, 2), IsOkAnd(Eq(0U)));
}

}  // namespace
}  // namespace pcivm::sriov
