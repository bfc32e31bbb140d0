// SPDX-License-Identifier: GPL-2.0-or-later
// Attributes given at creation, and another number of VFs than there is.
#include "sriov/vf_recreate.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <tuple>

#include "sriov/mac_template.hpp"
#include "sriov/vf_msix.hpp"
#include "tests/sriov/vf_rig.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::Fault;
using test::IsOk;
using test::Killed;
using test::kPf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

MacAddress mac(unsigned index) { return {{0x02, 0x11, 0x22, 0x33, 0x44, static_cast<std::uint8_t>(index)}}; }

class VfMake : public test::VfRig {
 protected:
  VfMake() { kernel_.tree().file(test::FakeKernel::device_directory(kPf) + "/net/eth1/ifindex", "3\n"); }

  CreateRequest request(unsigned count) {
    CreateRequest wanted{.physical = bdf(kPf), .targets = targets_for(count, "vfio-pci"), .port = &port_};
    for (unsigned index = 0; index < count; ++index) wanted.targets[index].wish = {.mac = mac(index), .vlan = 100};
    return wanted;
  }
  Result<Created> make(const CreateRequest& wanted) { return sriov::create(host_, lock(), wanted); }
  Result<Created> change(unsigned count, std::string_view bind = kBindNone) {
    return make({.physical = bdf(kPf), .targets = targets_for(count, bind), .allow_recreate = true, .port = &port_});
  }

  /// All that a change of the number may not lose.
  using State = std::tuple<std::vector<std::string>, std::vector<std::string>, std::vector<VfAttributes>, bool, bool>;
  State state() {
    std::vector<std::string> drivers;
    for (unsigned index = 0; index < kernel_.at(kPf).num_vfs; ++index) {
      const auto& each = kernel_.at(vf(index));
      drivers.push_back(fmt::format("{} {} {}", each.driver, each.override_name, each.msix));
    }
    std::vector<std::string> former;
    for (const auto& bound : vfio::all_bound(kernel_.root())) {
      former.push_back(bound.function.to_string() + record_of(bound).serialize());
    }
    auto attributes = port_.read(3).value();
    attributes.resize(drivers.size());
    return {drivers, former, attributes, kernel_.at(kPf).autoprobe, journal_empty()};
  }
};

TEST_F(VfMake, SetsAttributesBeforeAnyDriver) {
  std::vector<std::string> driven;
  port_.on_set = [&](unsigned index) { driven.push_back(kernel_.at(vf(index)).driver); };
  ASSERT_THAT(make(request(3)), IsOk());
  expect_all_bound(3);
  EXPECT_EQ(port_.vfs[2].mac, mac(2));
  EXPECT_EQ(port_.vfs[2].vlan, Vlan{.id = 100});
  EXPECT_EQ(driven, std::vector<std::string>(6, ""));
}

TEST_F(VfMake, SetsOnlyWhatDiffersWhenTheVfsAreThere) {
  ASSERT_THAT(make(request(2)), IsOk());
  const int sent = port_.count;
  const auto again = make(request(2));
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(port_.count, sent);
  auto other = request(2);
  other.targets[1].wish.mac = mac(9);
  EXPECT_TRUE(make(other)->changed);
  EXPECT_EQ(port_.count, sent + 1);
}

TEST_F(VfMake, RefusesAttributesThatCannotBeBeforeItMakesVfs) {
  kernel_.inject({});
  auto wanted = request(1);
  wanted.targets[0].wish.vlan = 4095;
  EXPECT_THAT(make(wanted), FailsWith(Errc::invalid, HasSubstr("VLAN 4095")));
  wanted.targets[0].wish = {.qos = 3};
  EXPECT_THAT(make(wanted), FailsWith(Errc::invalid, HasSubstr("needs a VLAN")));
  wanted.targets[0].wish = {.msix_count = 8};
  EXPECT_THAT(make(wanted), FailsWith(Errc::kernel, HasSubstr("does not share out interrupt vectors")));
  // F12: the PF's interface is in another network namespace, or its driver made none.
  kernel_.tree().remove(test::FakeKernel::device_directory(kPf) + "/net");
  EXPECT_THAT(make(request(1)), FailsWith(Errc::kernel, HasSubstr("has no network interface here")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(VfMake, TakesAllBackWhenAnAttributeIsRefusedOrNotKept) {
  for (int n = 1; n <= 4; ++n) {
    port_.count = 0;
    port_.fail_at = n;
    port_.error = EINVAL;
    EXPECT_THAT(make(request(2)), FailsWith(Errc::rolled_back)) << n;
    expect_untouched(n);
    port_.count = 0;
    port_.fail_at = 0;
    port_.lie_at = n;
    EXPECT_THAT(make(request(2)), FailsWith(Errc::rolled_back, HasSubstr("reports something else"))) << n;
    expect_untouched(n);
    port_.lie_at = 0;
  }
}

// F5: a driver in a bad state never returns from the write of sriov_numvfs, or from any other.
TEST_F(VfMake, AWriteThatHangsIsGivenUpAndOthersGoOn) {
  int hangs{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::hang, .at = n});
    const auto done = make(request(2));
    if (done) break;
    ++hangs;
    EXPECT_THAT(done, FailsWith(Errc::timeout, HasSubstr("blocked in the kernel"))) << n;
    EXPECT_FALSE(journal_empty()) << n;
    kernel_.inject({});
    EXPECT_THAT(list(host_, bdf(kPf), &port_), IsOk()) << n;
    ASSERT_THAT(recover(), IsOk()) << n;
    expect_untouched(n);
  }
  EXPECT_EQ(hangs, 7);
}

// F3: what the driver's answer means is said, and nothing is left.
TEST_F(VfMake, SaysWhyTheDriverMakesNone) {
  const std::pair<int, const char*> cases[] = {{ENOENT, "cannot make virtual functions"},
                                               {ENOMEM, "above-4G"},
                                               {ENOSPC, "ask for fewer"},
                                               {EBUSY, "at the same time"},
                                               {EOPNOTSUPP, "present mode"}};
  for (const auto& [error, hint] : cases) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = 2, .error = error});
    const auto done = make(request(2));
    EXPECT_THAT(done, FailsWith(Errc::rolled_back));
    EXPECT_THAT(done.error().hint(), HasSubstr(hint));
    expect_untouched(error);
  }
  kernel_.inject({});
  kernel_.limit_vfs(0);
  EXPECT_THAT(make(request(2)).error().hint(), HasSubstr("while the PF's interface is down"));
  expect_untouched();
}

TEST_F(VfMake, GivesUpADriverThatStaysBusyWithItself) {
  kernel_.inject({.kind = Fault::Kind::refuse, .at = 2, .error = EAGAIN, .persistent = true});
  EXPECT_THAT(make(request(2)), FailsWith(Errc::stranded, HasSubstr("EAGAIN")));
  EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U);
  kernel_.inject({});
  ASSERT_THAT(recover(), IsOk());
  expect_untouched();
}

// F7: on some platforms the VFs' links follow after the write has returned.
TEST_F(VfMake, WaitsForVfsThatAppearLate) {
  kernel_.make_links_late();
  const std::jthread later{[this] {
    std::this_thread::sleep_for(std::chrono::milliseconds{80});
    kernel_.link_vfs(kPf);
  }};
  ASSERT_THAT(make(request(2)), IsOk());
  expect_all_bound(2);
}

// F6: the PF goes away between two steps.
TEST_F(VfMake, APfThatVanishesIsForgotten) {
  port_.on_set = [this](unsigned) { kernel_.unplug(kPf); };
  EXPECT_THAT(make(request(2)), FailsWith(Errc::stranded));
  EXPECT_FALSE(journal_empty());
  const auto repairs = recover();
  ASSERT_THAT(repairs, IsOk());
  EXPECT_EQ(repairs->front().state, "gone");
  EXPECT_TRUE(journal_empty());
}

TEST_F(VfMake, SharesOutInterruptVectorsBeforeAnyDriver) {
  kernel_.at(kPf).total_msix = 32;
  kernel_.tree().file(test::FakeKernel::device_directory(kPf) + "/sriov_vf_total_msix", "32\n");
  CreateRequest wanted{.physical = bdf(kPf), .targets = targets_for(2, "vfio-pci"), .port = &port_};
  for (auto& target : wanted.targets) target.wish = {.msix_count = 8};
  ASSERT_THAT(make(wanted), IsOk());
  EXPECT_EQ(msix_count(kernel_.root(), bdf(vf(1))), 8U);
  const auto vfs = list(host_, bdf(kPf), nullptr);
  EXPECT_EQ(vfs->at(1).attributes.msix_count, 8U);
  EXPECT_THAT(vfs->at(1).missing, HasSubstr("live kernel only"));

  const auto set_msix = [&](std::uint32_t count) {
    return sriov::set(host_, lock(), port_, {.physical = bdf(kPf), .index = 0, .wish = {.msix_count = count}});
  };
  EXPECT_THAT(set_msix(4), FailsWith(Errc::busy, HasSubstr("bound to vfio-pci")));
  EXPECT_THAT(set_msix(33), FailsWith(Errc::invalid, HasSubstr("has 32 for all its VFs")));
  ASSERT_THAT(destroy(), IsOk());
  ASSERT_THAT(create(2, ""), IsOk());
  ASSERT_THAT(set_msix(4), IsOk());
  EXPECT_EQ(msix_count(kernel_.root(), bdf(vf(0))), 4U);
  ASSERT_THAT(set_msix(0), IsOk());
  EXPECT_EQ(msix_count(kernel_.root(), bdf(vf(0))), 3U);
  kernel_.inject({.kind = Fault::Kind::refuse, .at = 1, .error = ENOSPC});
  EXPECT_THAT(set_msix(5).error().hint(), HasSubstr("pool is used up"));
}

// ---- the addresses of all VFs from one pattern ----

TEST(MacTemplate, CountsInOneOctet) {
  EXPECT_EQ(macs_of("02:11:22:33:44:%02x", 3).value(), (std::vector{mac(0), mac(1), mac(2)}));
  EXPECT_EQ(macs_of("02:11:22:33:44:%02x", 256)->back(), mac(255));
  EXPECT_EQ(macs_of("02:11:22:33:%02x:07", 2)->back().to_string(), "02:11:22:33:01:07");
  EXPECT_EQ(macs_of("02:11:22:33:44:05", 1)->front(), mac(5));
  EXPECT_EQ(mac_of("02:11:22:33:44:%02x", 255).value(), mac(255));
  EXPECT_EQ(mac_of("02:11:22:33:44:05", 9).value(), mac(5));
}

TEST(MacTemplate, RefusesWhatGivesNoAddressForEachVf) {
  EXPECT_THAT(macs_of("02:11:22:33:44:%02x", 257), FailsWith(Errc::invalid, HasSubstr("gives 256 addresses")));
  EXPECT_THAT(macs_of("02:11:22:33:44:05", 2), FailsWith(Errc::invalid, HasSubstr("cannot all have the address")));
  EXPECT_THAT(macs_of("02:11:22:33:%02x:%02x", 2), FailsWith(Errc::invalid, HasSubstr("more than one %")));
  EXPECT_THAT(macs_of("%02x:11:22:33:44:55", 2), FailsWith(Errc::invalid, HasSubstr("VF 1")));  // 01: is multicast
  for (const auto* bad : {"", "%02x", "02:11:22:33:44:%d", "02:11:22:33:44:%x", "02:11:22:33:44:0%02x", "%02x%02x"}) {
    EXPECT_THAT(macs_of(bad, 2), FailsWith(Errc::invalid)) << bad;
  }
}

// ---- another number ----

class VfRecreate : public VfMake {
 protected:
  VfRecreate() {
    EXPECT_THAT(make(request(4)), IsOk());
    EXPECT_THAT(sriov::set(host_, lock(), port_,
                           {.physical = bdf(kPf), .index = 1, .wish = {.max_tx_rate = 500, .spoofchk = false}}),
                IsOk());
    EXPECT_THAT(vfio::release(host_, lock(), {.function = bdf(vf(3))}), IsOk());
    EXPECT_THAT(vfio::release(host_, lock(), {.function = bdf(vf(1))}), IsOk());
    EXPECT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf(1))}), IsOk());
    before_ = state();
    EXPECT_EQ(std::get<1>(before_).size(), 1U) << "what VF 1 was before it was bound";
    port_.count = 0;
    kernel_.inject({});
  }
  State before_;
};

TEST_F(VfRecreate, KeepsAttributesAndDriversOfThoseThatStay) {
  ASSERT_THAT(change(6), IsOk());
  EXPECT_EQ(kernel_.at(kPf).num_vfs, 6U);
  EXPECT_EQ(port_.vfs[1].rate, (Rate{.min = 0, .max = 500}));
  EXPECT_EQ(port_.vfs[1].spoofchk, false);
  EXPECT_EQ(port_.vfs[3].mac, mac(3));
  EXPECT_EQ(port_.vfs[4].mac, MacAddress{});
  EXPECT_EQ(kernel_.at(vf(2)).driver, "vfio-pci");
  EXPECT_EQ(kernel_.at(vf(3)).driver, "igbvf");
  EXPECT_EQ(kernel_.at(vf(4)).driver, "");
  ASSERT_THAT(change(4), IsOk());
  EXPECT_EQ(state(), before_);
}

TEST_F(VfRecreate, GivesAllToADriverThatIsNamed) {
  ASSERT_THAT(change(5, "vfio-pci"), IsOk());
  expect_all_bound(5);
  EXPECT_EQ(port_.vfs[3].mac, mac(3));
}

TEST_F(VfRecreate, NeedsLeave) {
  auto wanted = request(5);
  EXPECT_THAT(make(wanted), FailsWith(Errc::busy, HasSubstr("has 4 VFs already")));
  EXPECT_EQ(state(), before_);
}

TEST_F(VfRecreate, RefusesWhileAnyIsUsedAndNamesAllHolders) {
  users_[vf(0)] = {{"vfio", "pid 812 (qemu)"}};
  users_[vf(2)] = {{"vfio", "pid 900 (pcivm)"}};
  const auto done = change(5);
  EXPECT_THAT(done, FailsWith(Errc::busy, HasSubstr("pid 812 (qemu)")));
  EXPECT_THAT(done.error().text(), HasSubstr("pid 900 (pcivm)"));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(VfRecreate, SaysEveryStepAndWhatIsLost) {
  const auto lines = preview(
      host_, CreateRequest{.physical = bdf(kPf), .targets = targets_for(2), .allow_recreate = true, .port = &port_});
  ASSERT_THAT(lines, IsOk());
  EXPECT_THAT(*lines, Contains(HasSubstr("write '0' to '/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs'")));
  EXPECT_THAT(*lines, Contains(HasSubstr("write '2' to")));
  EXPECT_THAT(*lines, Contains(HasSubstr("set mac 02:11:22:33:44:01 of VF 1")));
  EXPECT_THAT(*lines, Contains(AllOf(HasSubstr("lost: VF 3"), HasSubstr("02:11:22:33:44:03"), HasSubstr("igbvf"))));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(VfRecreate, FewerThanAskedBringTheFormerBack) {
  kernel_.limit_vfs(4);
  const auto done = change(6);
  EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr("it reads '4'")));
  EXPECT_EQ(state(), before_);
}

class VfRecreateFaults : public VfRecreate, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(AnyErrno, VfRecreateFaults, testing::ValuesIn(test::kKernelErrors),
                         [](const auto& test) { return errno_name(test.param); });

TEST_P(VfRecreateFaults, AnyWriteThatFailsBringsTheFormerBack) {
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = change(6);
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    kernel_.inject({});
    EXPECT_EQ(state(), before_) << n;
  }
  // 4 unbinds, numvfs 0, autoprobe, numvfs, 3 times override and probe, 3 for igbvf, autoprobe
  EXPECT_EQ(failures, 17);
}

TEST_P(VfRecreateFaults, AnyMessageThatFailsBringsTheFormerBack) {
  int failures{};
  for (int n = 1;; ++n) {
    port_.count = 0;
    port_.fail_at = n;
    port_.error = GetParam();
    const auto done = change(6);
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    port_.fail_at = 0;
    EXPECT_EQ(state(), before_) << n;
  }
  EXPECT_EQ(failures, 10);  // 4 addresses, 4 VLANs, a rate, a spoof check
}

class VfRecreateCrash : public VfRecreate, public testing::WithParamInterface<Fault::Kind> {};
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, VfRecreateCrash, testing::Values(Fault::Kind::kill, Fault::Kind::kill_late),
                         [](const auto& test) { return test.param == Fault::Kind::kill ? "Before" : "After"; });

TEST_P(VfRecreateCrash, RepairBringsTheFormerBackFromAnyStep) {
  int kills{};
  for (;; ++kills) {
    kernel_.inject({.kind = GetParam(), .at = kills + 1});
    try {
      ASSERT_THAT(change(2), IsOk());
      break;
    } catch (const Killed&) {
    }
    kernel_.inject({});
    ASSERT_THAT(recover(), IsOk());
    EXPECT_EQ(state(), before_) << kills;
  }
  EXPECT_EQ(kills, 12);  // 4 unbinds, numvfs 0, autoprobe, numvfs, twice override and probe, autoprobe
}

TEST_F(VfRecreate, RepairBringsTheFormerBackFromAnyMessage) {
  for (int n = 1; n <= 10; ++n) {
    port_.count = 0;
    port_.kill_at = n;
    EXPECT_ANY_THROW((void)change(6)) << n;
    port_.kill_at = 0;
    ASSERT_THAT(recover(), IsOk());
    EXPECT_EQ(state(), before_) << n;
  }
}

TEST_F(VfRecreate, ARepairThatIsInterruptedIsRepeated) {
  kernel_.inject({.kind = Fault::Kind::kill, .at = 8});
  EXPECT_THROW((void)change(6), Killed);
  for (int n = 1; n < 40; ++n) {
    kernel_.inject({.kind = Fault::Kind::kill_late, .at = n});
    try {
      ASSERT_THAT(recover(), IsOk());
      break;
    } catch (const Killed&) {
    }
  }
  kernel_.inject({});
  EXPECT_EQ(state(), before_);
}

TEST_F(VfRecreate, AWriteThatHangsIsLeftAloneAndRepairedLater) {
  kernel_.at(vf(2)).open = true;
  EXPECT_THAT(change(6), FailsWith(Errc::timeout, HasSubstr("blocked in the kernel")));
  EXPECT_FALSE(journal_empty());
  kernel_.at(vf(2)).open = false;
  ASSERT_THAT(recover(), IsOk());
  EXPECT_EQ(state(), before_);
}

// F15: nothing can be removed from a function that cannot have VFs, and that is as was asked.
TEST_F(VfMake, RemovingTheVfsOfAFunctionWithoutSriovIsSuccess) {
  kernel_.add("0000:02:00.0", {.native = "e1000e", .driver = "e1000e"}, 3);
  const auto done = sriov::destroy(host_, lock(), {.physical = bdf("0000:02:00.0")});
  ASSERT_THAT(done, IsOk());
  EXPECT_FALSE(*done);
}

}  // namespace
}  // namespace pcivm::sriov
