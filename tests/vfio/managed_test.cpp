// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/managed.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/quarantine.hpp"
#include "vfio/release_hook.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::IsOk;
using testing::HasSubstr;

const std::string kOne{"0000:02:00.0"};
const std::string kTwo{"0000:03:00.0"};

class Managed : public testing::Test {
 protected:
  Managed() {
    kernel_.add(kOne, {.native = "e1000e", .driver = "e1000e"}, 3);
    kernel_.add(kTwo, {.native = "e1000e", .driver = "e1000e"}, 4);
    alive(::getpid(), "100");
    host_.users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> {
      return std::vector<iommu::InUse>{};
    };
  }
  void alive(int pid, const std::string& start) {
    kernel_.tree().file("/proc/" + std::to_string(pid) + "/stat",
                        "1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 " + start + " 0\n");
  }
  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  const std::string& driver(const std::string& function) { return kernel_.at(function).driver; }

  FakeKernel kernel_;
  Host host_{.root = kernel_.root(), .users_of = {}};
  const AcquireRequest both_{.functions = {bdf(kOne), bdf(kTwo)}};
};

TEST_F(Managed, FunctionsGoAndComeBack) {
  const auto bindings = acquire(host_, both_);
  ASSERT_THAT(bindings, IsOk());
  EXPECT_EQ(driver(kOne), "vfio-pci");
  EXPECT_EQ(driver(kTwo), "vfio-pci");
  ASSERT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_EQ(driver(kOne), "e1000e");
  EXPECT_EQ(driver(kTwo), "e1000e");
  EXPECT_TRUE(all_bound(kernel_.root()).empty());
}

TEST_F(Managed, AFunctionThatTheOperatorBoundStaysBound) {
  {
    const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value();
    ASSERT_THAT(bind(host_, lock, {.function = bdf(kOne)}), IsOk());
  }
  const auto bindings = acquire(host_, both_);
  ASSERT_THAT(bindings, IsOk());
  ASSERT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_EQ(driver(kOne), "vfio-pci");
  EXPECT_EQ(driver(kTwo), "e1000e");
}

TEST_F(Managed, WhoUsesThemIsReadOnceForAll) {
  auto& tree = kernel_.tree();
  for (const auto& function : {kOne, kTwo}) {
    kernel_.at(function).driver = kernel_.at(function).override_name = "vfio-pci";
    kernel_.refresh(function);
  }
  host_.users_of = users_at_once(both_.functions);
  ASSERT_THAT(acquire(host_, both_), IsOk());
  const auto use = [&](const std::string& function) {
    tree.file("/proc/812/comm", "vmm\n");
    tree.link("/proc/812/fd/9", fmt::format("/dev/vfio/{}", function == kOne ? 3 : 4));
  };
  use(kTwo);
  EXPECT_THAT(host_.users_of(kernel_.root(), bdf(kTwo)).value(), testing::IsEmpty()) << "as it was read";
  host_.users_of = users_at_once(both_.functions);
  EXPECT_THAT(acquire(host_, both_), FailsWith(Errc::busy, HasSubstr(kTwo + " is in use: pid 812 (vmm)")));
  EXPECT_EQ(users_at_once({bdf(kOne)})(kernel_.root(), bdf(kTwo)).value().size(), 1U) << "one that it was not made for";
}

TEST_F(Managed, AFunctionInQuarantineIsNotForAVm) {
  const auto function = bdf(kOne);
  ASSERT_THAT(quarantine(kernel_.root(), function, "does not answer"), IsOk());
  for (const auto* driver : {"", "vfio-pci"}) {  // whether or not the operator bound it already
    kernel_.at(kOne).driver = kernel_.at(kOne).override_name = driver;
    kernel_.refresh(kOne);
    kernel_.inject({});
    EXPECT_THAT(acquire(host_, {.functions = {function}}), FailsWith(Errc::refused, HasSubstr("in quarantine")));
    EXPECT_EQ(kernel_.count(), 0);
  }
}

// A program in the tree that leaves its argument in a file and ends with a code.
class ReleaseHook : public Managed {
 protected:
  void program(int code) {
    kernel_.tree().file("/usr/local/bin/wipe", fmt::format("#!/bin/sh\necho \"$1\" >>\"${{0}}.ran\"\nexit {}\n", code));
    ASSERT_EQ(::chmod(kernel_.root().host_path("/usr/local/bin/wipe").c_str(), 0755), 0);
  }
  std::string ran() const { return kernel_.root().read("/usr/local/bin/wipe.ran").value_or(""); }
  AcquireRequest one() const { return {.functions = {bdf(kOne)}, .on_release = "/usr/local/bin/wipe"}; }
  Result<Change> released(const std::vector<std::string>& force = {}) {
    const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value();
    return release(host_, lock, {.function = bdf(kOne), .force = force});
  }
};

TEST_F(ReleaseHook, RunsBeforeTheFunctionGoesBack) {
  program(0);
  const auto bindings = acquire(host_, one());
  ASSERT_THAT(bindings, IsOk());
  EXPECT_EQ(ran(), "");
  ASSERT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_EQ(ran(), kOne);
  EXPECT_EQ(driver(kOne), "e1000e");
}

TEST_F(ReleaseHook, ThatFailsKeepsTheFunctionFromEverybody) {
  program(3);
  const auto bindings = acquire(host_, one());
  ASSERT_THAT(bindings, IsOk());
  EXPECT_THAT(give_back(host_, *bindings), FailsWith(Errc::refused, HasSubstr("'/usr/local/bin/wipe' ended with 3")));
  EXPECT_EQ(driver(kOne), "vfio-pci");
  EXPECT_THAT(acquire(host_, one()), FailsWith(Errc::refused, HasSubstr("in quarantine")));
  EXPECT_THAT(acquire(host_, {.functions = {bdf(kOne)}, .force = {"quarantined"}}),
              FailsWith(Errc::refused, HasSubstr("must run before anybody else has it")));
  EXPECT_THAT(released(), FailsWith(Errc::refused, HasSubstr("must run before anybody else has it")));
  EXPECT_EQ(driver(kOne), "vfio-pci");

  program(0);
  ASSERT_THAT(run_release_hook(host_, bdf(kOne)), IsOk());
  EXPECT_EQ(ran(), kOne + "\n" + kOne);
  EXPECT_THAT(released(), IsOk());
  EXPECT_EQ(driver(kOne), "e1000e");
  EXPECT_THAT(acquire(host_, one()), IsOk());  // no longer in quarantine
}

TEST_F(ReleaseHook, OutlivesASupervisorThatWasKilled) {
  program(0);
  ASSERT_THAT(acquire(host_, one()), IsOk());
  alive(::getpid(), "101");  // another process with the same number
  EXPECT_THAT(acquire(host_, {.functions = {bdf(kOne)}}), FailsWith(Errc::refused, HasSubstr("must run before")));
  EXPECT_THAT(released({"on-release"}), IsOk());
  EXPECT_EQ(ran(), "");
}

TEST_F(ReleaseHook, MustBeAProgram) {
  EXPECT_THAT(check_release_hook(kernel_.root(), "wipe"), FailsWith(Errc::invalid, HasSubstr("absolute")));
  EXPECT_THAT(check_release_hook(kernel_.root(), "/usr/local/bin/wipe"), FailsWith(Errc::not_found, HasSubstr("wipe")));
  kernel_.tree().file("/usr/local/bin/wipe", "text");
  EXPECT_FALSE(check_release_hook(kernel_.root(), "/usr/local/bin/wipe"));
}

TEST_F(Managed, APfGetsAVfTokenThatGoesWithItsRelease) {
  const std::string pf{"0000:01:00.0"};
  kernel_.add_pf(pf, 7);
  const auto bindings = acquire(host_, {.functions = {bdf(pf)}});
  ASSERT_THAT(bindings, IsOk());
  const auto token = load_vf_token(kernel_.root(), bdf(pf));
  ASSERT_THAT(token, IsOk());
  ASSERT_THAT(acquire(host_, {.functions = {bdf(pf)}}), IsOk());
  EXPECT_EQ(load_vf_token(kernel_.root(), bdf(pf)).value(), *token) << "one PF, one token";
  ASSERT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_EQ(driver(pf), "igb");
  EXPECT_FALSE(has_vf_token(kernel_.root(), bdf(pf)));
  ASSERT_THAT(acquire(host_, {.functions = {bdf(kOne)}}), IsOk());
  EXPECT_FALSE(has_vf_token(kernel_.root(), bdf(kOne))) << "no PF";
}

TEST_F(Managed, APfAndItsVfAreNotForOneVm) {
  const std::string pf{"0000:01:00.0"};
  kernel_.add_pf(pf, 7, "vfio-pci");
  kernel_.add("0000:01:10.0", {.native = "igbvf", .driver = "vfio-pci", .physfn = pf}, 10, "0x10ca");
  EXPECT_THAT(acquire(host_, {.functions = {bdf("0000:01:10.0"), bdf(pf)}}),
              FailsWith(Errc::invalid, HasSubstr("one VM cannot have both")));
}

TEST_F(Managed, AllOrNoneAreAcquired) {
  kernel_.fail_probe("vfio-pci", kTwo, EIO);
  EXPECT_THAT(acquire(host_, both_), FailsWith(Errc::rolled_back, HasSubstr(kTwo)));
  EXPECT_EQ(driver(kOne), "e1000e");
  EXPECT_EQ(driver(kTwo), "e1000e");
  EXPECT_TRUE(all_bound(kernel_.root()).empty());
}

TEST_F(Managed, AFunctionOfAnotherLivingOwnerIsBusy) {
  ASSERT_THAT(acquire(host_, both_), IsOk());
  auto bound = load_bound(kernel_.root(), bdf(kOne)).value();
  bound.owner = {.pid = 4711, .start = "55"};
  alive(4711, "55");
  ASSERT_THAT(store_bound(kernel_.root(), bound), IsOk());
  EXPECT_THAT(acquire(host_, {.functions = {bdf(kOne)}}),
              FailsWith(Errc::busy, HasSubstr("belongs to the virtual machine of process 4711")));
  EXPECT_EQ(driver(kOne), "vfio-pci");
}

TEST_F(Managed, AFunctionOfAKilledOwnerIsInheritedAndReturned) {
  ASSERT_THAT(acquire(host_, both_), IsOk());
  auto bound = load_bound(kernel_.root(), bdf(kOne)).value();
  bound.owner = {.pid = 4711, .start = "55"};
  ASSERT_THAT(store_bound(kernel_.root(), bound), IsOk());
  const auto bindings = acquire(host_, {.functions = {bdf(kOne)}});
  ASSERT_THAT(bindings, IsOk());
  EXPECT_TRUE(bindings->front().must_return);
  ASSERT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_EQ(driver(kOne), "e1000e");
}

TEST_F(Managed, ReleaseAfterTheOwnerWasKilledFindsTheFormerDriver) {
  ASSERT_THAT(acquire(host_, both_), IsOk());
  const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value();
  ASSERT_THAT(release(host_, lock, {.function = bdf(kTwo)}), IsOk());
  EXPECT_EQ(driver(kTwo), "e1000e");
}

TEST_F(Managed, AGroupThatIsNotViableChangesNothing) {
  kernel_.add("0000:02:00.1", {.native = "snd_hda_intel", .driver = "snd_hda_intel"}, 3);
  kernel_.inject({});
  EXPECT_THAT(acquire(host_, both_), FailsWith(Errc::refused, HasSubstr("0000:02:00.1 (snd_hda_intel)")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Managed, ReturningGoesOnAfterOneFailure) {
  const auto bindings = acquire(host_, both_);
  ASSERT_THAT(bindings, IsOk());
  kernel_.fail_probe("e1000e", kOne, EIO);
  EXPECT_THAT(give_back(host_, *bindings), FailsWith(Errc::rolled_back, HasSubstr(kOne)));
  EXPECT_EQ(driver(kTwo), "e1000e");
}

TEST_F(Managed, WhatTheHostTookMeanwhileIsReturnedAllTheSame) {
  const auto bindings = acquire(host_, {.functions = {bdf(kOne)}});
  ASSERT_THAT(bindings, IsOk());
  kernel_.race_unbind(false);
  EXPECT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_EQ(driver(kOne), "e1000e");
  EXPECT_TRUE(all_bound(kernel_.root()).empty());
}

TEST_F(Managed, AFunctionThatVanishesInTheMiddleOfItsReturnLeavesNothing) {
  const auto bindings = acquire(host_, {.functions = {bdf(kOne)}});
  ASSERT_THAT(bindings, IsOk());
  kernel_.race_unbind(true);
  EXPECT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_TRUE(all_bound(kernel_.root()).empty());
  EXPECT_TRUE(left_over(kernel_.root())->empty());
}

TEST_F(Managed, WhatTheOperatorBoundAndThenRemovedIsForgotten) {
  {
    const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value();
    ASSERT_THAT(bind(host_, lock, {.function = bdf(kOne)}), IsOk());
  }
  const auto bindings = acquire(host_, {.functions = {bdf(kOne)}});
  ASSERT_THAT(bindings, IsOk());
  kernel_.unplug(kOne);
  EXPECT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_TRUE(all_bound(kernel_.root()).empty());
}

TEST_F(Managed, AFunctionThatVanishedNeedsNoReturn) {
  const auto bindings = acquire(host_, {.functions = {bdf(kOne)}});
  ASSERT_THAT(bindings, IsOk());
  kernel_.tree().remove(FakeKernel::device_directory(kOne));
  EXPECT_THAT(give_back(host_, *bindings), IsOk());
  EXPECT_TRUE(all_bound(kernel_.root()).empty());
}

}  // namespace
}  // namespace pcivm::vfio
