// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "base/replace_file.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/journal.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::Killed;
using testing::AllOf;
using testing::AnyOf;
using testing::Eq;
using testing::HasSubstr;

const std::string kNic{"0000:02:00.0"};
const std::string kPf{"0000:01:00.0"};

class Binding : public testing::Test {
 protected:
  Binding() {
    kernel_.add(kNic, {.native = "e1000e", .driver = "e1000e"}, 3);
    host_.users_of = [this](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> { return users_; };
  }

  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  HostLock lock() { return HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  Result<Change> bind(const std::string& function = kNic) {
    return vfio::bind(host_, lock(), {.function = bdf(function)});
  }
  Result<Change> release(const std::string& function = kNic) {
    return vfio::release(host_, lock(), {.function = bdf(function)});
  }
  DriverState state(const std::string& function = kNic) {
    return {.driver = kernel_.at(function).driver, .driver_override = kernel_.at(function).override_name};
  }
  bool journal_empty() { return left_over(kernel_.root())->empty(); }
  bool remembered(const std::string& function = kNic) { return load_bound(kernel_.root(), bdf(function)).has_value(); }

  FakeKernel kernel_;
  std::vector<iommu::InUse> users_;
  Host host_{.root = kernel_.root(), .users_of = {}};

  const DriverState native_{.driver = "e1000e", .driver_override = ""};
  const DriverState given_{.driver = "vfio-pci", .driver_override = "vfio-pci"};
};

TEST_F(Binding, GivesAFunctionToVfioAndRemembersItsDriver) {
  const auto change = bind();
  ASSERT_THAT(change, IsOk());
  EXPECT_TRUE(change->changed);
  EXPECT_EQ(state(), given_);
  EXPECT_EQ(load_bound(kernel_.root(), bdf(kNic))->former, native_);
  EXPECT_TRUE(journal_empty());
}

TEST_F(Binding, ChangesNothingWhenAlreadyThere) {
  ASSERT_THAT(bind(), IsOk());
  kernel_.inject({});
  const auto again = bind();
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Binding, SetsAMissingOverrideWithoutRebinding) {
  kernel_.at(kNic).driver = "vfio-pci";
  kernel_.add(kNic, kernel_.at(kNic), 3);
  kernel_.inject({});
  ASSERT_THAT(bind(), IsOk());
  EXPECT_EQ(kernel_.writes().size(), 1U);
  EXPECT_EQ(state(), given_);
}

TEST_F(Binding, ReturnsAFunctionToItsFormerDriver) {
  ASSERT_THAT(bind(), IsOk());
  const auto change = release();
  ASSERT_THAT(change, IsOk());
  EXPECT_TRUE(change->changed);
  EXPECT_EQ(state(), native_);
  EXPECT_FALSE(remembered());
  EXPECT_TRUE(journal_empty());
}

TEST_F(Binding, ReturnsAFormerOverrideToo) {
  kernel_.add_driver("special");
  kernel_.add(kNic, {.native = "e1000e", .driver = "special", .override_name = "special"}, 3);
  ASSERT_THAT(bind(), IsOk());
  ASSERT_THAT(release(), IsOk());
  EXPECT_EQ(state(), (DriverState{.driver = "special", .driver_override = "special"}));
}

TEST_F(Binding, ReleasesAFunctionWithoutARecordToWhicheverDriverMatches) {
  kernel_.add(kNic, {.native = "e1000e", .driver = "vfio-pci", .override_name = "vfio-pci"}, 3);
  ASSERT_THAT(release(), IsOk());
  EXPECT_EQ(state(), native_);
}

TEST_F(Binding, ReleaseLeavesANativeDriverAlone) {
  kernel_.inject({});
  const auto change = release();
  ASSERT_THAT(change, IsOk());
  EXPECT_FALSE(change->changed);
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Binding, ReleaseToNoneLeavesNoDriver) {
  ASSERT_THAT(bind(), IsOk());
  ASSERT_THAT(vfio::release(host_, lock(), {.function = bdf(kNic), .driver = ""}), IsOk());
  EXPECT_EQ(state(), DriverState{});
}

TEST_F(Binding, ReleaseWithAnAbsentDriverTouchesNothing) {
  ASSERT_THAT(bind(), IsOk());
  kernel_.inject({});
  EXPECT_THAT(vfio::release(host_, lock(), {.function = bdf(kNic), .driver = "absent"}),
              FailsWith(Errc::kernel, HasSubstr("no PCI driver 'absent'")));
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_EQ(state(), given_);
}

TEST_F(Binding, ForgetsARecordOfAnotherDeviceAtTheSameAddress) {
  ASSERT_THAT(bind(), IsOk());
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/device", "0x1234\n");
  kernel_.add_driver("other");
  auto function = kernel_.at(kNic);
  function.native = "other";
  kernel_.add(kNic, function, 3, "0x1234");
  ASSERT_THAT(release(), IsOk());
  EXPECT_EQ(state().driver, "other");
}

// ---- VFs and autoprobe ----

TEST_F(Binding, ADriverThatIsJustBeingLoadedIsWaitedFor) {
  const auto file = FakeKernel::unbind_file("e1000e");
  kernel_.tree().remove(file);
  const std::jthread loading{[&] {
    std::this_thread::sleep_for(std::chrono::milliseconds{30});
    kernel_.tree().file(file, "");
  }};
  ASSERT_THAT(bind(), IsOk());
  EXPECT_EQ(state(), given_);
}

class VfBinding : public Binding {
 protected:
  VfBinding() {
    kernel_.add_pf(kPf, 7);
    write("sriov_drivers_autoprobe", "0");
    write("sriov_numvfs", "2");
  }
  void write(const std::string& file, const std::string& value) {
    ASSERT_THAT(kernel_.root().write(FakeKernel::device_directory(kPf) + "/" + file, value), IsOk());
  }
  const std::string vf_{FakeKernel::vf_name(kPf, 1)};
};

TEST_F(VfBinding, BindsAVfWhileAutoprobeIsOff) {
  ASSERT_THAT(bind(vf_), IsOk());
  EXPECT_EQ(state(vf_), given_);
  EXPECT_FALSE(kernel_.at(kPf).autoprobe);
  EXPECT_EQ(load_bound(kernel_.root(), bdf(vf_))->identity, "8086:10ca:8086:a04c vf 1 of 0000:01:00.0");
}

TEST_F(VfBinding, IsKnownByItsPlaceAmongTheVfs) {
  const std::string pf{"0000:03:00.0"};
  kernel_.add_pf(pf, 12);
  ASSERT_THAT(kernel_.root().write(FakeKernel::device_directory(pf) + "/sriov_numvfs", "12"), IsOk());
  const auto place = [&](unsigned index) {
    return identity_of(kernel_.root(), bdf(FakeKernel::vf_name(pf, index))).value_or("").substr(20);
  };
  for (unsigned index = 0; index < 12; ++index) EXPECT_EQ(place(index), fmt::format("vf {} of {}", index, pf));
  // Not where the first two say.
  const auto link = [&](unsigned index) { return fmt::format("{}/virtfn{}", FakeKernel::device_directory(pf), index); };
  kernel_.tree().remove(link(5));
  kernel_.tree().link(link(5), "../" + FakeKernel::vf_name(pf, 9));
  EXPECT_EQ(place(9), "vf 9 of " + pf);
  kernel_.tree().remove(link(9));
  EXPECT_EQ(place(9), "vf 5 of " + pf);
  EXPECT_EQ(place(5), "vf of " + pf);
}

TEST_F(VfBinding, ReturnsAVfToTheHostThroughAWindowOfAutoprobe) {
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf_), .remember = false}), IsOk());
  ASSERT_THAT(release(vf_), IsOk());
  EXPECT_EQ(state(vf_), (DriverState{.driver = "igbvf", .driver_override = ""}));
  EXPECT_FALSE(kernel_.at(kPf).autoprobe);
}

TEST_F(VfBinding, ReturnsAVfThatHadADriverWithoutTouchingAutoprobe) {
  write("sriov_drivers_autoprobe", "1");
  write("sriov_numvfs", "0");
  write("sriov_numvfs", "2");
  write("sriov_drivers_autoprobe", "0");
  ASSERT_EQ(state(vf_).driver, "igbvf");
  ASSERT_THAT(bind(vf_), IsOk());
  kernel_.inject({});
  ASSERT_THAT(release(vf_), IsOk());
  EXPECT_EQ(state(vf_), (DriverState{.driver = "igbvf", .driver_override = ""}));
  for (const auto& write : kernel_.writes()) EXPECT_THAT(write, testing::Not(HasSubstr("autoprobe")));
}

TEST_F(VfBinding, PutsAutoprobeBackWhateverWriteOfAReleaseFails) {
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf_), .remember = false}), IsOk());
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = EIO});
    const auto done = release(vf_);
    if (done) break;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    EXPECT_EQ(state(vf_), given_) << n;
    EXPECT_FALSE(kernel_.at(kPf).autoprobe) << n;
    EXPECT_TRUE(journal_empty()) << n;
    ASSERT_LT(n, 20);
  }
}

TEST_F(VfBinding, AVfWithoutAnyDriverIsGivenToItsNativeOneWhenThatIsAsked) {
  ASSERT_EQ(state(vf_).driver, "");
  ASSERT_THAT(release(vf_), IsOk());
  EXPECT_EQ(state(vf_).driver, "");
  ASSERT_THAT(vfio::release(host_, lock(), {.function = bdf(vf_), .to_native = true}), IsOk());
  EXPECT_EQ(state(vf_), (DriverState{.driver = "igbvf", .driver_override = ""}));
  EXPECT_FALSE(kernel_.at(kPf).autoprobe);
}

TEST_F(VfBinding, ANativeDriverThatTookItMeanwhileIsWhatWasAskedFor) {
  kernel_.at(vf_).driver = "igbvf";
  EXPECT_THAT(plan({.function = bdf(vf_), .state = state(vf_), .physfn = bdf(kPf)}, {}), testing::IsEmpty());
}

TEST_F(VfBinding, RefusesAPfThatHasVfs) {
  kernel_.inject({});
  EXPECT_THAT(bind(kPf), FailsWith(Errc::busy, HasSubstr("has 2 virtual functions")));
  EXPECT_EQ(kernel_.count(), 0);
}

// ---- refusals: nothing is written ----

class Refusal : public Binding {
 protected:
  void expect_refused(const Result<Change>& done, Errc kind, const std::string& text) {
    EXPECT_THAT(done, FailsWith(kind, HasSubstr(text)));
    EXPECT_EQ(kernel_.count(), 0);
    EXPECT_EQ(state(), native_);
    EXPECT_TRUE(journal_empty());
  }
};

TEST_F(Refusal, AbsentFunction) {
  expect_refused(bind("0000:99:00.0"), Errc::not_found, "no PCI function 0000:99:00.0");
}

TEST_F(Refusal, BridgeByHeaderType) {
  std::string config(64, '\0');
  config[0x0e] = static_cast<char>(0x81);  // multifunction, type 1
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/config", config);
  expect_refused(bind(), Errc::refused, "is a bridge");
}

TEST_F(Refusal, BridgeByClass) {
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/class", "0x060000\n");
  expect_refused(bind(), Errc::refused, "class 0x060000");
}

TEST_F(Refusal, DeniedByVfioPci) {
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/device", "0x37c8\n");
  expect_refused(bind(), Errc::refused, "denylist");
}

TEST_F(Refusal, WithoutIommuGroup) {
  kernel_.tree().remove(FakeKernel::device_directory(kNic) + "/iommu_group");
  expect_refused(bind(), Errc::refused, "no IOMMU group");
}

TEST_F(Refusal, InUseNamesEveryHolder) {
  users_ = {{"mount", "/ -> dm-0 -> nvme0n1"}, {"swap", "/dev/nvme0n1p3"}};
  const auto done = bind();
  expect_refused(done, Errc::busy, "/ -> dm-0 -> nvme0n1 (mount); /dev/nvme0n1p3 (swap)");
  EXPECT_THAT(done.error().hint(), HasSubstr("--force=mount"));
}

TEST_F(Refusal, ForceOverridesTheNamedCheckOnly) {
  users_ = {{"mount", "/"}, {"swap", "/dev/nvme0n1p3"}};
  expect_refused(vfio::bind(host_, lock(), {.function = bdf(kNic), .force = {"mount"}}), Errc::busy, "swap");
  EXPECT_THAT(vfio::bind(host_, lock(), {.function = bdf(kNic), .force = {"mount", "swap"}}), IsOk());
}

TEST_F(Refusal, DriverThatTheKernelDoesNotHave) {
  expect_refused(vfio::bind(host_, lock(), {.function = bdf(kNic), .driver = "mlx5_vfio_pci"}), Errc::kernel,
                 "no PCI driver 'mlx5_vfio_pci'");
}

TEST_F(Refusal, DriverNameWithASlash) {
  expect_refused(vfio::bind(host_, lock(), {.function = bdf(kNic), .driver = "../vfio-pci"}), Errc::invalid,
                 "'../vfio-pci'");
}

TEST_F(Refusal, FunctionWithAnUnfinishedChange) {
  ASSERT_THAT(Journal::begin(kernel_.root(), bdf(kNic), {}), IsOk());
  EXPECT_THAT(bind(), FailsWith(Errc::busy, HasSubstr("unfinished change")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Refusal, ReleaseOfAFunctionThatIsOpen) {
  ASSERT_THAT(bind(), IsOk());
  users_ = {{"vfio", "process 4711 (qemu)"}};
  kernel_.inject({});
  EXPECT_THAT(release(), FailsWith(Errc::busy, HasSubstr("process 4711")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Refusal, GroupWithANativeSiblingIsNamed) {
  kernel_.add("0000:02:00.1", {.native = "snd_hda_intel", .driver = "snd_hda_intel"}, 3);
  const std::vector functions{bdf(kNic)};
  EXPECT_THAT(
      check_groups(kernel_.root(), functions),
      FailsWith(Errc::refused, HasSubstr("group 3 with functions that the host uses: 0000:02:00.1 (snd_hda_intel)")));
  const std::vector both{bdf(kNic), bdf("0000:02:00.1")};
  EXPECT_THAT(check_groups(kernel_.root(), both), IsOk());
}

// ---- every write fails once, in every way ----

class FaultyBinding : public Binding, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(AnyErrno, FaultyBinding, testing::ValuesIn(test::kKernelErrors),
                         [](const auto& test) { return errno_name(test.param); });
INSTANTIATE_TEST_SUITE_P(ProbeIsDeferred, FaultyBinding, testing::Values(EAGAIN),
                         [](const auto& test) { return errno_name(test.param); });

TEST_P(FaultyBinding, BindIsUndoneWhicheverWriteFails) {
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = bind();
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr("put back"))) << n;
    EXPECT_EQ(done.error().sys_errno(), GetParam()) << n;
    EXPECT_EQ(state(), native_) << n;
    EXPECT_TRUE(journal_empty()) << n;
    EXPECT_FALSE(remembered()) << n;
  }
  EXPECT_EQ(failures, 3);  // override, unbind, probe
}

TEST_P(FaultyBinding, ReleaseIsUndoneWhicheverWriteFails) {
  ASSERT_THAT(bind(), IsOk());
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = release();
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    EXPECT_EQ(state(), given_) << n;
    EXPECT_TRUE(journal_empty()) << n;
    EXPECT_TRUE(remembered()) << n;
  }
  EXPECT_EQ(failures, 4);  // override, unbind, probe, override
}

TEST_P(FaultyBinding, ProbeErrorIsToldAlthoughTheKernelReportsSuccess) {
  kernel_.fail_probe("vfio-pci", kNic, GetParam());
  const auto done = bind();
  EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr("/sys/bus/pci/drivers/vfio-pci/bind")));
  EXPECT_EQ(done.error().sys_errno(), GetParam());
  EXPECT_EQ(state(), native_);
}

TEST_P(FaultyBinding, AnUndoThatFailsTooStrandsTheFunctionUntilRepair) {
  for (int n = 2; n <= 3; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam(), .persistent = true});
    EXPECT_THAT(bind(), FailsWith(Errc::stranded, HasSubstr("could not be put back"))) << n;
    EXPECT_FALSE(journal_empty()) << n;
    kernel_.inject({});
    const auto repairs = recover_bindings(host_, lock());
    ASSERT_THAT(repairs, IsOk());
    EXPECT_EQ(repairs->front().state, "returned to e1000e") << n;
    EXPECT_EQ(state(), native_) << n;
    EXPECT_TRUE(journal_empty()) << n;
  }
}

TEST_F(Binding, ASuccessThatDidNothingIsFoundAndUndone) {
  int lies{};
  for (int n = 1; n <= 3; ++n) {
    kernel_.inject({.kind = Fault::Kind::lie, .at = n});
    const auto done = bind();
    if (done) {
      // drivers_probe did nothing, and the driver's bind file did it instead.
      EXPECT_EQ(n, 3);
      EXPECT_EQ(state(), given_);
      break;
    }
    ++lies;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr("was accepted, but"))) << n;
    EXPECT_EQ(state(), native_) << n;
    EXPECT_TRUE(journal_empty()) << n;
  }
  EXPECT_EQ(lies, 2);
}

TEST_F(Binding, AnUnbindThatBlocksIsLeftAloneWithItsEntry) {
  ASSERT_THAT(bind(), IsOk());
  kernel_.at(kNic).open = true;
  kernel_.inject({});
  const auto done = release();
  EXPECT_THAT(done, FailsWith(Errc::timeout, HasSubstr("blocked in the kernel")));
  EXPECT_THAT(kernel_.writes().back(), HasSubstr("unbind"));
  EXPECT_FALSE(journal_empty());
  kernel_.at(kNic).open = false;
  ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
  EXPECT_EQ(state(), native_);
  EXPECT_TRUE(journal_empty());
}

TEST_F(Binding, WhatACrashLeftOfARecordThatItWroteIsRemoved) {
  const auto& root = kernel_.root();
  for (const std::string directory : {"/run/pcivm/journal", "/run/pcivm/bound"}) {
    ASSERT_THAT(replace_file(root, directory + "/.0000:03:00.0.new", "step=be", 0600, 0700), IsOk());
  }
  ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
  EXPECT_THAT(*root.list("/run/pcivm/journal"), testing::IsEmpty());
  EXPECT_THAT(*root.list("/run/pcivm/bound"), testing::IsEmpty());
}

// ---- VFs of a PF that is given away ----

TEST_F(Binding, AVfOfAPfThatIsGivenAwayIsForNoDriverOfTheHost) {
  const std::string pf{"0000:01:00.0"};
  const std::string vf{"0000:01:10.0"};
  kernel_.add(pf, {.native = "igb", .driver = "vfio-pci"}, 20);
  kernel_.add(vf, {.native = "igbvf", .driver = "vfio-pci", .override_name = "vfio-pci", .physfn = pf}, 21);
  const auto told =
      FailsWith(Errc::refused, AllOf(HasSubstr("0000:01:10.0 is a VF of 0000:01:00.0, which is given away "
                                               "itself (driver vfio-pci)"),
                                     HasSubstr("wanted vfio-pci or none")));
  EXPECT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf), .driver = "igbvf"}), told);
  EXPECT_THAT(vfio::release(host_, lock(), {.function = bdf(vf)}), told);
  EXPECT_THAT(vfio::release(host_, lock(), {.function = bdf(vf), .driver = "igbvf"}), told);
  EXPECT_EQ(kernel_.at(vf).driver, "vfio-pci");
  ASSERT_THAT(vfio::release(host_, lock(), {.function = bdf(vf), .driver = ""}), IsOk());
  EXPECT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf), .driver = "igbvf"}), told);
  EXPECT_THAT(vfio::bind(host_, lock(), {.function = bdf(vf)}), IsOk());
}

// ---- killed at every write ----

class Crash : public Binding, public testing::WithParamInterface<Fault::Kind> {
 protected:
  // True when the change was killed at write `n`, false when it ended before.
  template <class Change>
  bool killed_at(int n, Change change) {
    kernel_.inject({.kind = GetParam(), .at = n});
    try {
      EXPECT_THAT(change(), IsOk());
    } catch (const Killed&) {
      kernel_.inject({});
      return true;
    }
    kernel_.inject({});
    return false;
  }
  Repair repair_only_entry() {
    auto repairs = recover_bindings(host_, lock());
    EXPECT_THAT(repairs, IsOk());
    EXPECT_EQ(repairs->size(), 1U);
    EXPECT_TRUE(journal_empty());
    return repairs->empty() ? Repair{} : repairs->front();
  }
};
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, Crash, testing::Values(Fault::Kind::kill, Fault::Kind::kill_late),
                         [](const auto& test) { return test.param == Fault::Kind::kill ? "Before" : "After"; });

TEST_P(Crash, AnInterruptedBindIsUndone) {
  int kills{};
  while (killed_at(kills + 1, [this] { return bind(); })) {
    ++kills;
    EXPECT_EQ(repair_only_entry().state, "returned to e1000e");
    EXPECT_EQ(state(), native_);
    EXPECT_FALSE(remembered());
  }
  EXPECT_EQ(kills, 3);
}

TEST_P(Crash, AnInterruptedReleaseIsCompleted) {
  ASSERT_THAT(bind(), IsOk());
  int kills{};
  while (killed_at(kills + 1, [this] { return release(); })) {
    ++kills;
    EXPECT_EQ(repair_only_entry().state, "returned to e1000e");
    EXPECT_EQ(state(), native_);
    EXPECT_FALSE(remembered());
    ASSERT_THAT(bind(), IsOk());
  }
  EXPECT_EQ(kills, 4);
}

TEST_P(Crash, ARepairThatIsInterruptedIsRepeated) {
  ASSERT_TRUE(killed_at(3, [this] { return bind(); }));
  for (int n = 1; killed_at(n, [this] { return recover_bindings(host_, lock()); }); ++n) ASSERT_LT(n, 10);
  EXPECT_EQ(state(), native_);
  EXPECT_TRUE(journal_empty());
}

TEST_F(Binding, ABindKilledAfterItsLastWriteCountsAsDone) {
  ASSERT_THAT(bind(), IsOk());
  Record record;
  record.set("intent", kIntentBind);
  record.set("identity", load_bound(kernel_.root(), bdf(kNic))->identity);
  record.set("driver", "vfio-pci");
  record.set("former_driver", "e1000e");
  ASSERT_THAT(Journal::begin(kernel_.root(), bdf(kNic), record), IsOk());
  EXPECT_EQ(recover_bindings(host_, lock())->front().state, "bound to vfio-pci");
  EXPECT_EQ(state(), given_);
  EXPECT_TRUE(remembered());
}

TEST_F(Binding, ADamagedEntryIsSettledByTheTruth) {
  kernel_.add(kNic, {.native = "e1000e", .driver = {}, .override_name = "vfio-pci"}, 3);
  kernel_.tree().file("/run/pcivm/journal/" + kNic, "pcivm-record 1\nint");
  EXPECT_EQ(recover_bindings(host_, lock())->front().state, "left with e1000e");
  EXPECT_EQ(state(), native_);
  EXPECT_TRUE(journal_empty());
}

TEST_F(Binding, AnEntryOfAVanishedOrReplacedFunctionIsDropped) {
  Record record;
  record.set("intent", kIntentBind);
  record.set("identity", "1234:5678:0000:0000");
  ASSERT_THAT(Journal::begin(kernel_.root(), bdf(kNic), record), IsOk());
  ASSERT_THAT(Journal::begin(kernel_.root(), bdf("0000:7f:00.0"), record), IsOk());
  kernel_.inject({});
  const auto repairs = recover_bindings(host_, lock());
  ASSERT_THAT(repairs, IsOk());
  EXPECT_EQ(repairs->at(0).state, "replaced by 8086:10c9:8086:a04c");
  EXPECT_EQ(repairs->at(1).state, "gone");
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_TRUE(journal_empty());
}

TEST_F(Binding, PreviewListsTheWritesAndMakesNone) {
  kernel_.inject({});
  const std::vector requests{BindRequest{.function = bdf(kNic)}};
  const auto lines = preview(host_, requests);
  ASSERT_THAT(lines, IsOk());
  ASSERT_EQ(lines->size(), 3U);
  EXPECT_EQ(lines->at(1), "write '0000:02:00.0' to '/sys/bus/pci/drivers/e1000e/unbind'");
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Binding, OnlyTheNamedOneOfTwoIdenticalFunctionsChanges) {
  kernel_.add("0000:03:00.0", {.native = "e1000e", .driver = "e1000e"}, 4);
  ASSERT_THAT(bind(), IsOk());
  EXPECT_EQ(state("0000:03:00.0"), native_);
  for (const auto& write : kernel_.writes()) EXPECT_THAT(write, testing::Not(HasSubstr("new_id")));
}

}  // namespace
}  // namespace pcivm::vfio
