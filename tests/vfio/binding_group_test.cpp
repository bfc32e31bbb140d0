// SPDX-License-Identifier: GPL-2.0-or-later
// Transactions over several functions: the functions of one IOMMU group go together or not at all.
#include <gtest/gtest.h>

#include <linux/vfio.h>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/binding.hpp"
#include "vfio/binding_scope.hpp"
#include "vfio/journal.hpp"
#include "vfio/variant_driver.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::IsOkAnd;
using test::Killed;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kMembers{"0000:03:01.0", "0000:03:02.0", "0000:03:03.0"};

class GroupBinding : public testing::Test {
 protected:
  GroupBinding() {
    kernel_.add("0000:02:00.0", {.native = "", .driver = ""}, 5, "0x000e");
    kernel_.tree().file("/sys/bus/pci/devices/0000:02:00.0/class", "0x060400\n");
    kernel_.refresh("0000:02:00.0");
    kernel_.add(kMembers[0], {.native = "e1000", .driver = "e1000"}, 5);
    kernel_.add(kMembers[1], {.native = "e1000", .driver = "e1000"}, 5);
    kernel_.add(kMembers[2], {.native = "", .driver = ""}, 5);  // a function that no driver wants
    host_.users_of = [this](const SysRoot&, Bdf function) -> Result<std::vector<iommu::InUse>> {
      return users_[function.to_string()];
    };
    host_.ioctls = &ioctls_;
    ioctls_.on<vfio_group_status>(VFIO_GROUP_GET_STATUS, [this](vfio_group_status& status) {
      status.flags = viable_ ? VFIO_GROUP_FLAGS_VIABLE : 0;
      return 0;
    });
    for (const auto& member : kMembers) before_.push_back(state(member));
  }

  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  HostLock lock() { return HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  DriverState state(const std::string& function) {
    return {.driver = kernel_.at(function).driver, .driver_override = kernel_.at(function).override_name};
  }
  std::vector<DriverState> states() {
    std::vector<DriverState> all;
    for (const auto& member : kMembers) all.push_back(state(member));
    return all;
  }
  std::vector<BindRequest> bind_requests() {
    std::vector<BindRequest> requests;
    const std::vector named{bdf(kMembers[1])};
    const auto functions = widen(kernel_.root(), named, {.group = true}).value();
    for (const auto function : functions) {
      requests.push_back({.function = function});
    }
    return requests;
  }
  Result<std::vector<Change>> bind() { return bind_all(host_, lock(), bind_requests()); }
  Result<std::vector<Change>> release() {
    std::vector<ReleaseRequest> requests;
    for (const auto& member : kMembers) requests.push_back({.function = bdf(member)});
    return release_all(host_, lock(), requests);
  }
  bool journal_empty() { return left_over(kernel_.root())->empty(); }
  std::size_t remembered() { return all_bound(kernel_.root()).size(); }

  FakeKernel kernel_;
  std::map<std::string, std::vector<iommu::InUse>> users_;
  test::FakeIoctls ioctls_;
  bool viable_{true};
  Host host_{.root = kernel_.root(), .users_of = {}};
  std::vector<DriverState> before_;
  const std::vector<DriverState> given_{3, {.driver = "vfio-pci", .driver_override = "vfio-pci"}};
};

TEST_F(GroupBinding, AllMembersButTheBridgeGoAndComeBack) {
  ASSERT_THAT(bind(), IsOk());
  EXPECT_EQ(states(), given_);
  EXPECT_EQ(state("0000:02:00.0"), DriverState{});
  EXPECT_EQ(ioctls_.count(VFIO_GROUP_GET_STATUS), 1U);
  ASSERT_THAT(release(), IsOk());
  EXPECT_EQ(states(), before_);
  EXPECT_EQ(remembered(), 0U);
  EXPECT_TRUE(journal_empty());
}

TEST_F(GroupBinding, AllOverridesComeBeforeAnyUnbindAndThoseGoBackwards) {
  kernel_.inject({});
  ASSERT_THAT(bind(), IsOk());
  std::vector<std::string> order;
  for (const auto& write : kernel_.writes()) {
    const auto path = write.substr(0, write.find(' '));
    order.push_back(path.substr(path.rfind('/') + 1) + write.substr(write.find(' ')));
  }
  const std::string given{"driver_override vfio-pci"};
  EXPECT_THAT(order, ElementsAre(given, given, given, "unbind " + kMembers[1], "unbind " + kMembers[0],
                                 "drivers_probe " + kMembers[0], "drivers_probe " + kMembers[1],
                                 "drivers_probe " + kMembers[2]));
}

TEST_F(GroupBinding, OneMemberInUseKeepsAllOfThem) {
  users_[kMembers[1]] = {{.kind = "address", .detail = "eth3 is up with 192.0.2.1"}};
  kernel_.inject({});
  EXPECT_THAT(bind(), FailsWith(Errc::busy, HasSubstr("0000:03:02.0 is in use")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(GroupBinding, AGroupThatTheKernelCallsNotViableIsPutBack) {
  viable_ = false;
  EXPECT_THAT(bind(), FailsWith(Errc::rolled_back, HasSubstr("not viable")));
  EXPECT_EQ(states(), before_);
  EXPECT_TRUE(journal_empty());
  EXPECT_EQ(remembered(), 0U);
}

TEST_F(GroupBinding, PartOfAGroupMayBeBoundAndTheKernelIsNotAsked) {
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(kMembers[0])}), IsOk());
  EXPECT_EQ(ioctls_.count(VFIO_GROUP_GET_STATUS), 0U);
}

TEST_F(GroupBinding, ADeviceThatStopsAnsweringIsPutBack) {
  kernel_.tree().file(FakeKernel::device_directory(kMembers[2]) + "/config", std::string(64, '\0'));
  auto requests = bind_requests();
  kernel_.on_bound([this](const std::string& function) {
    if (function == kMembers[2]) {
      kernel_.tree().file(FakeKernel::device_directory(function) + "/config", std::string(64, '\xff'));
    }
  });
  EXPECT_THAT(bind_all(host_, lock(), requests), FailsWith(Errc::rolled_back, HasSubstr("does not answer")));
  EXPECT_EQ(states(), before_);
}

TEST_F(GroupBinding, BindAndReleaseAreUndoneWhicheverWriteFails) {
  for (const int error : test::kKernelErrors) {
    int failures{};
    const auto fails = [&](auto change, const std::vector<DriverState>& kept, std::size_t records) {
      for (int n = 1;; ++n) {
        kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = error});
        const auto done = change();
        kernel_.inject({});
        if (done) return;
        ASSERT_LT(n, 40) << done.error().text();
        ++failures;
        EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
        EXPECT_EQ(states(), kept) << n;
        EXPECT_TRUE(journal_empty()) << n;
        EXPECT_EQ(remembered(), records) << n;
      }
    };
    fails([this] { return bind(); }, before_, 0);
    EXPECT_EQ(failures, 8);
    fails([this] { return release(); }, given_, 3);
    EXPECT_EQ(failures, 8 + 10);  // two members have a driver to be named and un-named, one only loses its own
  }
}

class GroupCrash : public GroupBinding, public testing::WithParamInterface<Fault::Kind> {
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
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, GroupCrash, testing::Values(Fault::Kind::kill, Fault::Kind::kill_late),
                         [](const auto& test) { return test.param == Fault::Kind::kill ? "Before" : "After"; });

TEST_P(GroupCrash, AnInterruptedBindIsUndoneForAllMembersAlsoWhenTheRepairIsInterrupted) {
  int kills{};
  while (killed_at(kills + 1, [this] { return bind(); })) {
    ++kills;
    for (int n = 1; killed_at(n, [this] { return recover_bindings(host_, lock()); }); ++n) ASSERT_LT(n, 20);
    EXPECT_EQ(states(), before_) << kills;
    EXPECT_TRUE(journal_empty()) << kills;
    EXPECT_EQ(remembered(), 0U) << kills;
  }
  EXPECT_EQ(kills, 8);
}

TEST_P(GroupCrash, AnInterruptedReleaseIsCompletedForAllMembers) {
  ASSERT_THAT(bind(), IsOk());
  int kills{};
  while (killed_at(kills + 1, [this] { return release(); })) {
    ++kills;
    ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
    EXPECT_EQ(states(), before_) << kills;
    EXPECT_TRUE(journal_empty()) << kills;
    EXPECT_EQ(remembered(), 0U) << kills;
    ASSERT_THAT(bind(), IsOk());
  }
  EXPECT_EQ(kills, 10);
}

// Entries and records as a kill between two writes to /run leaves them: all in place, some members already remembered
// or some entries already gone.
class GroupRecords : public GroupBinding {
 protected:
  Record entry(const std::string& member, const DriverState& former) {
    Record record;
    record.set("intent", kIntentBind);
    record.set("identity", identity_of(kernel_.root(), bdf(member)).value());
    record.set("former_driver", former.driver);
    record.set("former_override", former.driver_override);
    record.set("driver", "vfio-pci");
    record.set("remembered", "0");
    record.set("members", "0000:03:01.0=vfio-pci 0000:03:02.0=vfio-pci 0000:03:03.0=vfio-pci");
    return record;
  }
};

TEST_F(GroupRecords, AMemberThatIsNotRememberedUndoesAll) {
  ASSERT_THAT(bind(), IsOk());
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_THAT(Journal::begin(kernel_.root(), bdf(kMembers[i]), entry(kMembers[i], before_[i])), IsOk());
  }
  ASSERT_THAT(forget_bound(kernel_.root(), bdf(kMembers[2])), IsOk());
  ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
  EXPECT_EQ(states(), before_);
  EXPECT_EQ(remembered(), 0U);
}

TEST_F(GroupRecords, EntriesOfACompletedBindAreDroppedWhicheverAreLeft) {
  ASSERT_THAT(bind(), IsOk());
  for (unsigned left = 1; left < 8; ++left) {
    for (std::size_t i = 0; i < 3; ++i) {
      if ((left >> i & 1U) == 0) continue;
      ASSERT_THAT(Journal::begin(kernel_.root(), bdf(kMembers[i]), entry(kMembers[i], before_[i])), IsOk());
    }
    ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
    EXPECT_EQ(states(), given_) << left;
    EXPECT_EQ(remembered(), 3U) << left;
    EXPECT_TRUE(journal_empty()) << left;
  }
}

TEST_F(GroupRecords, AnEntryCutAtAnyByteGivesAStateThatIsOldOrNew) {
  const auto text = [&] {
    Record record = entry(kMembers[0], before_[0]);
    record.set("step", "begin");
    return record.serialize();
  }();
  for (std::size_t length = 0; length < text.size(); ++length) {
    kernel_.at(kMembers[0]).driver = {};  // between unbind and probe
    kernel_.at(kMembers[0]).override_name = "vfio-pci";
    kernel_.refresh(kMembers[0]);
    kernel_.tree().file("/run/pcivm/journal/" + kMembers[0], text.substr(0, length));
    ASSERT_THAT(recover_bindings(host_, lock()), IsOk()) << length;
    EXPECT_EQ(state(kMembers[0]), before_[0]) << length;
    EXPECT_TRUE(journal_empty()) << length;
  }
}

TEST_F(GroupBinding, SettingsAreSetBesideTheDriverAndPutBack) {
  const auto directory = FakeKernel::device_directory(kMembers[0]);
  kernel_.tree().file(directory + "/reset_method", "flr bus\n");
  kernel_.tree().file(directory + "/d3cold_allowed", "1\n");
  kernel_.tree().file(directory + "/power/control", "on\n");
  const auto value = [&](const std::string& file) { return kernel_.root().read(directory + "/" + file).value(); };
  const BindRequest request{.function = bdf(kMembers[0]),
                            .settings = {{"reset_method", "flr"}, {"d3cold_allowed", "0"}, {"power/control", "on"}}};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = EIO});
    const auto done = vfio::bind(host_, lock(), request);
    kernel_.inject({});
    if (done) break;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    EXPECT_EQ(value("reset_method"), "flr bus") << n;
    EXPECT_EQ(value("d3cold_allowed"), "1") << n;
    EXPECT_EQ(state(kMembers[0]), before_[0]) << n;
    ASSERT_LT(n, 10);
  }
  EXPECT_EQ(value("reset_method"), "flr");
  EXPECT_EQ(value("d3cold_allowed"), "0");
  // A second bind with another method keeps the memory of the first value.
  ASSERT_THAT(vfio::bind(host_, lock(),
                         {.function = bdf(kMembers[0]), .force = {"no-reset"}, .settings = {{"reset_method", "bus"}}}),
              IsOk());
  EXPECT_EQ(value("reset_method"), "bus");
  // Switched off; an empty write would never reach the kernel.
  ASSERT_THAT(vfio::bind(host_, lock(),
                         {.function = bdf(kMembers[0]), .force = {"no-reset"}, .settings = {{"reset_method", ""}}}),
              IsOk());
  EXPECT_EQ(value("reset_method"), "");
  ASSERT_THAT(vfio::release(host_, lock(), {.function = bdf(kMembers[0])}), IsOk());
  EXPECT_EQ(value("reset_method"), "flr bus");
  EXPECT_EQ(value("d3cold_allowed"), "1");
}

TEST_F(GroupBinding, ASettingThatTheFunctionDoesNotHaveIsRefused) {
  kernel_.inject({});
  EXPECT_THAT(vfio::bind(host_, lock(), {.function = bdf(kMembers[0]), .settings = {{"d3cold_allowed", "0"}}}),
              FailsWith(Errc::refused, HasSubstr("has no 'd3cold_allowed'")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(GroupBinding, ScopeOfAGroupLeavesOutBridgesAndStubs) {
  kernel_.add("0000:03:04.0", {.native = "", .driver = "pci-stub"}, 5);
  kernel_.add("0000:03:05.0", {.native = "", .driver = "vfio-pci"}, 5);
  EXPECT_THAT(widen(kernel_.root(), std::vector{bdf(kMembers[2])}, {.group = true}),
              IsOkAnd(ElementsAre(bdf(kMembers[0]), bdf(kMembers[1]), bdf(kMembers[2]), bdf("0000:03:05.0"))));
  EXPECT_THAT(widen(kernel_.root(), std::vector{bdf(kMembers[2])}, {.vfs = true}),
              FailsWith(Errc::not_found, HasSubstr("no virtual functions")));
}

TEST_F(GroupBinding, TheVariantWithTheFewestWildcardsIsTaken) {
  const auto modalias = FakeKernel::device_directory(kMembers[0]) + "/modalias";
  kernel_.tree().file(modalias, "pci:v000015B3d0000101Esv000015B3sd00000026bc02sc00i00\n");
  EXPECT_THAT(variant_driver(kernel_.root(), bdf(kMembers[0])), IsOkAnd("vfio-pci"));
  kernel_.tree().file("/proc/sys/kernel/osrelease", "6.12.1\n");
  kernel_.tree().file("/lib/modules/6.12.1/modules.alias",
                      "# Aliases\n"
                      "alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core\n"
                      "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
                      "alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* other_vfio_pci\n"
                      "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n");
  EXPECT_THAT(variant_driver(kernel_.root(), bdf(kMembers[0])), IsOkAnd("mlx5_vfio_pci"));
  kernel_.tree().file(modalias, "pci:v00008086d000010CAsv00008086sd00000026bc02sc00i00\n");
  EXPECT_THAT(variant_driver(kernel_.root(), bdf(kMembers[0])), IsOkAnd("vfio-pci"));
}

}  // namespace
}  // namespace pcivm::vfio
