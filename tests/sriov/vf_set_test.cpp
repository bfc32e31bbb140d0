// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_set.hpp"

#include <gtest/gtest.h>

#include "tests/sriov/vf_rig.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::IsOkAnd;
using test::Killed;
using testing::Eq;
using testing::HasSubstr;

using test::kPf;

class VfSet : public test::VfRig {};

// ---- creating ----

TEST_F(VfSet, CreatesVfsWithoutLettingTheHostDriverSeeThem) {
  kernel_.inject({});
  const auto created = create(2);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->vfs, (std::vector{bdf(vf(0)), bdf(vf(1))}));
  expect_all_bound(2);
  EXPECT_TRUE(kernel_.at(kPf).autoprobe);
  for (const auto& write : kernel_.writes()) EXPECT_THAT(write, testing::Not(HasSubstr("igbvf")));
}

TEST_F(VfSet, CreatesVfsWithoutDriverWhenNoneIsAsked) {
  ASSERT_THAT(create(3, ""), IsOk());
  EXPECT_EQ(kernel_.at(vf(2)).driver, "");
}

TEST_F(VfSet, CreatesVfsForTheHost) {
  ASSERT_THAT(create(2, "host"), IsOk());
  EXPECT_EQ(kernel_.at(vf(0)).driver, "igbvf");
  EXPECT_EQ(kernel_.at(vf(0)).override_name, "");
  EXPECT_TRUE(kernel_.at(kPf).autoprobe);
}

TEST_F(VfSet, LeavesAutoprobeOffWhenAsked) {
  ASSERT_THAT(sriov::create(host_, lock(), {.physical = bdf(kPf), .targets = targets_for(1), .autoprobe_after = false}),
              IsOk());
  EXPECT_FALSE(kernel_.at(kPf).autoprobe);
}

TEST_F(VfSet, SameNumberAgainChangesNothing) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.inject({});
  const auto again = create(2);
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(again->vfs.size(), 2U);
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(VfSet, SameNumberWithADriverBindsThoseThatHaveAnother) {
  ASSERT_THAT(create(2, ""), IsOk());
  const auto again = create(2);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->changed);
  expect_all_bound(2);
}

// ---- a PF that is given away itself ----

TEST_F(VfSet, VfsOfAPfOnVfioPciGoToVfioPciAndHaveAToken) {
  kernel_.add_pf(kPf, 7, "vfio-pci");
  kernel_.enable_sriov(true);
  std::string notes;
  host_.note = [&](std::string_view note) { notes += note; };
  ASSERT_THAT(create(2, ""), IsOk());
  expect_all_bound(2);
  EXPECT_TRUE(vfio::has_vf_token(kernel_.root(), bdf(kPf)));
  EXPECT_THAT(notes, HasSubstr("nobody has 0000:01:00.0 open"));
  EXPECT_THAT(notes, testing::Not(HasSubstr(vfio::load_vf_token(kernel_.root(), bdf(kPf)).value())));
  EXPECT_THAT(vfio::release(host_, lock(), {.function = bdf(kPf)}),
              FailsWith(Errc::busy, HasSubstr("has 2 virtual functions")))
      << "vfio-pci would remove them";
  EXPECT_THAT(destroy(), IsOkAnd(true));
  expect_untouched();
}

// ---- refusals: nothing is written ----

class VfRefusal : public VfSet {
 protected:
  template <class T>
  void expect_refused(const Result<T>& done, Errc kind, const std::string& text) {
    EXPECT_THAT(done, FailsWith(kind, HasSubstr(text)));
    EXPECT_EQ(kernel_.count(), 0);
    EXPECT_TRUE(journal_empty());
  }
};

TEST_F(VfRefusal, ZeroVfs) { expect_refused(create(0), Errc::invalid, "0 VFs"); }
TEST_F(VfRefusal, MoreThanThePfOffers) { expect_refused(create(8), Errc::invalid, "at most 7 VFs, 8 are wanted"); }
TEST_F(VfRefusal, AnotherNumberThanExists) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.inject({});
  const auto done = create(3);
  expect_refused(done, Errc::busy, "has 2 VFs already");
  EXPECT_THAT(done.error().hint(), HasSubstr("--allow-recreate"));
}
TEST_F(VfRefusal, PfWithoutDriver) {
  kernel_.add_pf(kPf, 8, "");
  expect_refused(create(2), Errc::kernel, "has no driver");
}
TEST_F(VfRefusal, PfThatIsGivenAway) {
  kernel_.add_pf(kPf, 7, "vfio-pci");
  expect_refused(create(2), Errc::kernel, "its parameter enable_sriov, and that is off");
  kernel_.enable_sriov(false);
  EXPECT_THAT(create(2).error().hint(), HasSubstr("echo 1 >/sys/module/vfio_pci/parameters/enable_sriov"));
  kernel_.add_pf(kPf, 7, "mlx5_vfio_pci");
  expect_refused(create(2), Errc::kernel, "which makes no VFs");
}
TEST_F(VfRefusal, HostDriversAndAttributesForVfsOfAPfThatIsGivenAway) {
  kernel_.add_pf(kPf, 7, "vfio-pci");
  kernel_.enable_sriov(true);
  expect_refused(create(2, "host"), Errc::refused, "could attack the host");
  expect_refused(create(2, "igbvf"), Errc::refused, "could attack the host");
  const sriov::CreateRequest request{.physical = bdf(kPf),
                                     .targets = sriov::targets_for(2, "vfio-pci", {{}, {.trust = true}})};
  expect_refused(sriov::create(host_, lock(), request), Errc::refused, "the attributes of its VFs");
}
TEST_F(VfRefusal, RemovalThatVfioPciWouldNotDo) {
  kernel_.add_pf(kPf, 7, "vfio-pci");
  kernel_.enable_sriov(true);
  ASSERT_THAT(create(2), IsOk());
  kernel_.enable_sriov(false);
  kernel_.inject({});
  expect_refused(destroy(), Errc::kernel, "enable_sriov");
}
TEST_F(VfRefusal, AbsentFunction) {
  expect_refused(sriov::create(host_, lock(), {.physical = bdf("0000:99:00.0"), .targets = targets_for(1)}),
                 Errc::not_found, "no PCI function");
}
TEST_F(VfRefusal, FunctionWithoutSriov) {
  kernel_.add("0000:02:00.0", {.native = "e1000e", .driver = "e1000e"}, 3);
  expect_refused(sriov::create(host_, lock(), {.physical = bdf("0000:02:00.0"), .targets = targets_for(1)}),
                 Errc::invalid, "has no SR-IOV");
}
TEST_F(VfRefusal, VfInsteadOfAPf) {
  ASSERT_THAT(create(1), IsOk());
  kernel_.inject({});
  expect_refused(sriov::create(host_, lock(), {.physical = bdf(vf(0)), .targets = targets_for(1)}), Errc::invalid,
                 "is itself a virtual function");
}
TEST_F(VfRefusal, NoIommu) {
  kernel_.tree().remove(FakeKernel::device_directory(kPf) + "/iommu_group");
  expect_refused(create(2), Errc::refused, "no IOMMU group");
}
TEST_F(VfRefusal, DriverThatTheKernelDoesNotHave) {
  expect_refused(create(2, "mlx5_vfio_pci"), Errc::kernel, "no PCI driver 'mlx5_vfio_pci'");
}
TEST_F(VfRefusal, DestroyWhileAnyVfIsInUseNamesAllHolders) {
  ASSERT_THAT(create(3), IsOk());
  kernel_.inject({});
  users_[vf(0)] = {{"vfio", "pid 812 (qemu)"}};
  users_[vf(2)] = {{"vfio", "pid 900 (pcivm)"}};
  const auto done = destroy();
  expect_refused(done, Errc::busy, "pid 812 (qemu)");
  EXPECT_THAT(done.error().text(), HasSubstr("pid 900 (pcivm)"));
}

// ---- the kernel's own answers ----

TEST_F(VfSet, FewerVfsThanAskedAreTakenBack) {
  kernel_.limit_vfs(1);
  EXPECT_THAT(create(3), FailsWith(Errc::rolled_back, HasSubstr("it reads '1'")));
  expect_untouched();
}

TEST_F(VfSet, NoVfsInSpiteOfSuccessAreFound) {
  kernel_.limit_vfs(0);
  EXPECT_THAT(create(3), FailsWith(Errc::rolled_back, HasSubstr("it reads '0'")));
  expect_untouched();
}

TEST_F(VfSet, LackOfMmioSpaceNamesTheRemedy) {
  kernel_.inject({.kind = Fault::Kind::refuse, .at = 2, .error = ENOMEM});
  const auto done = create(3);
  EXPECT_THAT(done, FailsWith(Errc::rolled_back));
  EXPECT_THAT(done.error().hint(), HasSubstr("above-4G"));
  expect_untouched();
}

TEST_F(VfSet, TriesAgainWhileTheDriverIsBusyWithItself) {
  kernel_.inject({.kind = Fault::Kind::refuse, .at = 2, .error = EAGAIN});
  ASSERT_THAT(create(1, ""), IsOk());
  EXPECT_EQ(kernel_.at(kPf).num_vfs, 1U);
}

TEST_F(VfSet, AVfThatCannotBeBoundTakesAllBack) {
  kernel_.fail_probe("vfio-pci", vf(1), EIO);
  const auto done = create(3);
  EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr(vf(1))));
  EXPECT_EQ(done.error().sys_errno(), EIO);
  expect_untouched();
}

// ---- every write fails once, in every way ----

class FaultyVfSet : public VfSet, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(AnyErrno, FaultyVfSet, testing::ValuesIn(test::kKernelErrors),
                         [](const auto& test) { return errno_name(test.param); });

TEST_P(FaultyVfSet, CreationIsUndoneWhicheverWriteFails) {
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = create(2);
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    EXPECT_EQ(done.error().sys_errno(), GetParam()) << n;
    expect_untouched(n);
  }
  EXPECT_EQ(failures, 7);  // autoprobe, numvfs, twice override and probe, autoprobe
}

TEST_P(FaultyVfSet, RemovalIsUndoneWhicheverWriteFails) {
  ASSERT_THAT(create(2), IsOk());
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = destroy();
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    expect_all_bound(2, n);
  }
  EXPECT_EQ(failures, 3);  // two unbinds, numvfs
  expect_untouched();
}

TEST_P(FaultyVfSet, AnUndoThatFailsTooIsRepairedLater) {
  kernel_.inject({.kind = Fault::Kind::refuse, .at = 3, .error = GetParam(), .persistent = true});
  EXPECT_THAT(create(2), FailsWith(Errc::stranded));
  EXPECT_FALSE(journal_empty());
  kernel_.inject({});
  ASSERT_THAT(recover(), IsOk());
  expect_untouched();
}

TEST_F(VfSet, ASuccessThatDidNothingIsFoundAndUndone) {
  int lies{};
  for (int n = 1; n <= 7; ++n) {
    kernel_.inject({.kind = Fault::Kind::lie, .at = n});
    const auto done = create(2);
    if (done) {
      // drivers_probe did nothing, and the driver's bind file did it instead.
      kernel_.inject({});
      ASSERT_THAT(destroy(), IsOk());
      continue;
    }
    ++lies;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    expect_untouched(n);
  }
  EXPECT_EQ(lies, 5);
}

TEST_F(VfSet, ARemovalThatBlocksIsLeftAloneWithItsEntry) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.at(vf(1)).open = true;
  EXPECT_THAT(destroy(), FailsWith(Errc::timeout, HasSubstr("blocked in the kernel")));
  EXPECT_FALSE(journal_empty());
  kernel_.at(vf(1)).open = false;
  ASSERT_THAT(recover(), IsOk());
  expect_untouched();
}

TEST_F(VfSet, RepairLeavesVfsThatAreInUse) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.at(vf(1)).open = true;
  EXPECT_THAT(destroy(), FailsWith(Errc::timeout));
  users_[vf(1)] = {{"vfio", "pid 812 (qemu)"}};
  kernel_.inject({});
  const auto repairs = recover();
  ASSERT_THAT(repairs, IsOk());
  EXPECT_TRUE(repairs->front().problem.has_value());
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_FALSE(journal_empty());
}

// ---- killed at every write ----

class VfCrash : public VfSet, public testing::WithParamInterface<Fault::Kind> {
 protected:
  template <class Change>
  bool killed_at(int n, Change change) {
    kernel_.inject({.kind = GetParam(), .at = n});
    bool killed{};
    try {
      EXPECT_THAT(change(), IsOk());
    } catch (const Killed&) {
      killed = true;
    }
    kernel_.inject({});
    return killed;
  }
};
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, VfCrash, testing::Values(Fault::Kind::kill, Fault::Kind::kill_late),
                         [](const auto& test) { return test.param == Fault::Kind::kill ? "Before" : "After"; });

TEST_P(VfCrash, AnInterruptedCreationIsUndone) {
  int kills{};
  while (killed_at(kills + 1, [this] { return create(2); })) {
    ++kills;
    ASSERT_THAT(recover(), IsOk());
    expect_untouched(kills);
  }
  EXPECT_EQ(kills, 7);
}

TEST_P(VfCrash, AnInterruptedRemovalIsCompleted) {
  ASSERT_THAT(create(2), IsOk());
  int kills{};
  while (killed_at(kills + 1, [this] { return destroy(); })) {
    ++kills;
    ASSERT_THAT(recover(), IsOk());
    expect_untouched(kills);
    ASSERT_THAT(create(2), IsOk());
  }
  EXPECT_EQ(kills, 3);
}

TEST_P(VfCrash, AnInterruptedRemovalLeavesNoRecordOfFormerDrivers) {
  int kills{};
  for (bool killed = true; killed;) {
    ASSERT_THAT(create(2, "host"), IsOk());
    ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf(1))}), IsOk());
    killed = killed_at(kills + 1, [this] { return destroy(); });
    if (killed) ++kills;
    ASSERT_THAT(recover(), IsOk());
    EXPECT_TRUE(vfio::all_bound(kernel_.root()).empty()) << "killed at write " << kills;
  }
  EXPECT_EQ(kills, 3);
}

TEST_P(VfCrash, ARepairThatIsInterruptedIsRepeated) {
  ASSERT_TRUE(killed_at(6, [this] { return create(2); }));
  for (int n = 1; killed_at(n, [this] { return recover(); }); ++n) ASSERT_LT(n, 20);
  expect_untouched();
}

// ---- removing ----

TEST_F(VfSet, RemovesVfsAndWhatIsRememberedOfThem) {
  ASSERT_THAT(create(2, "host"), IsOk());
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf(0))}), IsOk());
  EXPECT_THAT(destroy(), IsOkAnd(Eq(true)));
  EXPECT_TRUE(vfio::all_bound(kernel_.root()).empty());
  expect_untouched();
}

TEST_F(VfSet, RemovingNoneIsSuccess) {
  kernel_.inject({});
  EXPECT_THAT(destroy(), IsOkAnd(Eq(false)));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(VfSet, RemovalTakesEachVfFromItsDriverFirst) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.inject({});
  ASSERT_THAT(destroy(), IsOk());
  ASSERT_EQ(kernel_.writes().size(), 3U);
  EXPECT_THAT(kernel_.writes().front(), HasSubstr("/drivers/vfio-pci/unbind"));
  EXPECT_THAT(kernel_.writes().back(), HasSubstr("sriov_numvfs 0"));
}

TEST_F(VfSet, PreviewsWriteNothing) {
  kernel_.inject({});
  const CreateRequest request{.physical = bdf(kPf), .targets = targets_for(2, "vfio-pci")};
  EXPECT_EQ(preview(host_, request)->size(), 4U);
  EXPECT_TRUE(preview(host_, DestroyRequest{.physical = bdf(kPf)})->empty());
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(VfSet, ListShowsDriversGroupsAndIndexes) {
  ASSERT_THAT(create(2), IsOk());
  const auto vfs = list(host_, bdf(kPf), nullptr);
  ASSERT_THAT(vfs, IsOk());
  ASSERT_EQ(vfs->size(), 2U);
  EXPECT_EQ(vfs->at(1).address, bdf(vf(1)));
  EXPECT_EQ(vfs->at(1).index, 1U);
  EXPECT_EQ(vfs->at(1).driver, "vfio-pci");
  EXPECT_EQ(vfs->at(1).iommu_group, 11U);
  EXPECT_EQ(vfs->at(1).attributes, VfAttributes{});
}

// ---- attributes ----

class VfAttributeSet : public VfSet {
 protected:
  VfAttributeSet() {
    kernel_.tree().file(FakeKernel::device_directory(kPf) + "/net/eth1/ifindex", "3\n");
    EXPECT_THAT(create(2), IsOk());
  }
  Result<std::vector<VfChange>> set(const VfWish& wish, unsigned index = 1) {
    return sriov::set(host_, lock(), port_, {.physical = bdf(kPf), .index = index, .wish = wish});
  }
  const MacAddress mac_{{0x02, 0, 0, 0, 0, 1}};
};

TEST_F(VfAttributeSet, SendsOneChangePerMessage) {
  ASSERT_THAT(set({.mac = mac_, .vlan = 100, .qos = 3, .max_tx_rate = 1000}), IsOk());
  EXPECT_EQ(port_.sent, (std::vector<std::string>{"mac 02:00:00:00:00:01", "vlan 100, qos 3, 802.1q",
                                                  "min rate 0, max rate 1000 Mbit/s"}));
  EXPECT_EQ(port_.vfs[1].vlan, (Vlan{.id = 100, .qos = 3}));
  EXPECT_TRUE(journal_empty());
}

TEST_F(VfAttributeSet, SendsNothingThatIsSoAlready) {
  ASSERT_THAT(set({.mac = mac_}), IsOk());
  const auto again = set({.mac = mac_, .spoofchk = true});
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->empty());
  EXPECT_EQ(port_.count, 1);
}

TEST_F(VfAttributeSet, PutsEarlierChangesBackWhenALaterOneFails) {
  for (int n = 1; n <= 3; ++n) {
    port_.count = 0;
    port_.fail_at = n;
    port_.error = EINVAL;
    EXPECT_THAT(set({.mac = mac_, .vlan = 100, .trust = true}), FailsWith(Errc::rolled_back)) << n;
    EXPECT_EQ(port_.vfs[1].mac, MacAddress{}) << n;
    EXPECT_EQ(port_.vfs[1].vlan, Vlan{}) << n;
    EXPECT_TRUE(journal_empty()) << n;
  }
}

TEST_F(VfAttributeSet, FindsAChangeThatWasAcceptedButIsNotReported) {
  port_.lie_at = 2;
  EXPECT_THAT(set({.mac = mac_, .vlan = 100}), FailsWith(Errc::rolled_back, HasSubstr("reports something else")));
  EXPECT_EQ(port_.vfs[1].mac, MacAddress{});
}

TEST_F(VfAttributeSet, BelievesWhatTheDriverDoesNotReport) { EXPECT_THAT(set({.trust = true}), IsOk()); }

TEST_F(VfAttributeSet, RestoresTheFormerAttributesAfterACrash) {
  port_.kill_at = 2;
  EXPECT_ANY_THROW((void)set({.mac = mac_, .vlan = 100}));
  EXPECT_EQ(port_.vfs[1].mac, mac_);
  const auto repairs = recover();
  ASSERT_THAT(repairs, IsOk());
  EXPECT_THAT(repairs->front().state, HasSubstr("former attributes of VF 1"));
  EXPECT_EQ(port_.vfs[1].mac, MacAddress{});
  EXPECT_TRUE(journal_empty());
}

TEST_F(VfAttributeSet, RefusesWhatCannotBe) {
  EXPECT_THAT(set({.mac = mac_}, 2), FailsWith(Errc::not_found, HasSubstr("has no VF 2; it has 2")));
  EXPECT_THAT(set({.vlan = 4095}), FailsWith(Errc::invalid, HasSubstr("VLAN 4095")));
  EXPECT_THAT(set({.vlan = 1, .qos = 8}), FailsWith(Errc::invalid, HasSubstr("QoS 8")));
  EXPECT_THAT(set({.qos = 3}), FailsWith(Errc::invalid, HasSubstr("needs a VLAN")));
  EXPECT_THAT(set({.min_tx_rate = 5, .max_tx_rate = 4}), FailsWith(Errc::invalid, HasSubstr("above the maximum")));
  EXPECT_EQ(port_.count, 0);
}

TEST_F(VfAttributeSet, NeedsANetworkInterface) {
  kernel_.tree().remove(FakeKernel::device_directory(kPf) + "/net");
  EXPECT_THAT(set({.mac = mac_}), FailsWith(Errc::kernel, HasSubstr("has no network interface")));
}

TEST_F(VfAttributeSet, TakesThePfAndNotARepresentor) {
  kernel_.tree().file(FakeKernel::device_directory(kPf) + "/net/eth0/ifindex", "9\n");
  kernel_.tree().file("/sys/class/net/eth0/phys_port_name", "pf0vf1\n");
  EXPECT_EQ(interface_of(kernel_.root(), bdf(kPf))->name, "eth1");
}

}  // namespace
}  // namespace pcivm::sriov
