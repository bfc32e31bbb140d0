// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/pf_adapter.hpp"

#include <gtest/gtest.h>

#include "sriov/vf_set.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/journal.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::Killed;
using testing::HasSubstr;

const std::string kPf{"0000:01:00.0"};
const std::string kKept{"/run/pcivm/adapted/" + kPf};

std::string file_of(std::string_view name) { return fmt::format("/sys/bus/pci/devices/{}/plain/{}", kPf, name); }

// Values that are files below the PF: the share of the PF, a quota and a state for each VF.
class PlainAdapter final : public PfAdapter {
 public:
  explicit PlainAdapter(AdapterRequest request) : request_{std::move(request)} {}
  Result<std::vector<Assignment>> before_create(unsigned count) override {
    if (quota() == "99") return fail(Errc::invalid, "quota 99 is above 10");
    return std::vector<Assignment>{{.name = "share", .value = fmt::to_string(100 - count)}};
  }
  Result<std::vector<Assignment>> provision(unsigned index) override {
    return std::vector<Assignment>{{.name = fmt::format("vf{}-quota", index), .value = quota()},
                                   {.name = fmt::format("vf{}-state", index), .value = "up"}};
  }
  Result<std::vector<Assignment>> before_destroy() override {
    std::vector<Assignment> stopped;
    for (const auto& name : request_.host.root.list(file_of("")).value_or(std::vector<std::string>{})) {
      if (name.ends_with("-state")) stopped.push_back({.name = name, .value = "down"});
    }
    return stopped;
  }
  Result<std::string> read(const std::string& name) override { return request_.host.root.read(file_of(name)); }
  Result<void> write(const Assignment& wanted) override {
    return request_.host.root.write(file_of(wanted.name), wanted.value);
  }
  Result<Profile> profile(unsigned index) override {
    return Profile{{.name = "quota", .value = TRY(read(fmt::format("vf{}-quota", index)))}};
  }

 private:
  [[nodiscard]] std::string quota() const {
    const auto given = request_.settings.find("quota");
    return given == request_.settings.end() ? "1" : given->second;
  }
  AdapterRequest request_;
};

std::vector<AdapterKind> plain_kinds() {
  return {{.name = "plain",
           .settings = {{.key = "quota", .meaning = "0 to 10"}, {.key = "priority", .meaning = "a number"}},
           .matches = [](const SysRoot& root, Bdf) { return root.exists(file_of("share")); },
           .make = [](const AdapterRequest& request) -> Result<std::unique_ptr<PfAdapter>> {
             return std::make_unique<PlainAdapter>(request);
           }}};
}

class Adapted : public testing::Test {
 protected:
  Adapted() {
    kernel_.add_pf(kPf, 7);
    set_file("share", "100");
    for (int index = 0; index < 3; ++index) {
      set_file(fmt::format("vf{}-quota", index), "0");
      set_file(fmt::format("vf{}-state", index), "down");
    }
    kernel_.handle_others([this](std::string_view path, std::string_view value) {
      if (!kernel_.root().exists(path)) return ENOENT;
      kernel_.tree().file(path, fmt::format("{}\n", value));
      return 0;
    });
    host_.users_of = [](const SysRoot&, Bdf) { return std::vector<iommu::InUse>{}; };
  }
  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  void set_file(const std::string& name, const std::string& value) { kernel_.tree().file(file_of(name), value + "\n"); }
  std::string value(const std::string& name) { return kernel_.root().read(file_of(name)).value(); }
  vfio::HostLock lock() { return vfio::HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  Result<Created> create(unsigned count, Settings settings = {{"quota", "5"}}) {
    return sriov::create(host_, lock(),
                         {.physical = bdf(kPf),
                          .targets = targets_for(count, "vfio-pci"),
                          .settings = std::move(settings),
                          .adapters = kinds_});
  }
  Result<bool> destroy() { return sriov::destroy(host_, lock(), {.physical = bdf(kPf), .adapters = kinds_}); }
  Result<std::vector<vfio::Repair>> recover() { return sriov::recover(host_, lock(), nullptr, kinds_); }

  void expect_untouched(int n = 0) {
    EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U) << n;
    EXPECT_TRUE(kernel_.at(kPf).autoprobe) << n;
    EXPECT_EQ(value("share"), "100") << n;
    EXPECT_EQ(value("vf0-quota") + value("vf1-quota"), "00") << n;
    EXPECT_EQ(value("vf0-state") + value("vf1-state"), "downdown") << n;
    EXPECT_FALSE(kernel_.root().exists(kKept)) << n;
    EXPECT_TRUE(vfio::left_over(kernel_.root())->empty()) << n;
  }
  void expect_made(int n = 0) {
    ASSERT_EQ(kernel_.at(kPf).num_vfs, 2U) << n;
    EXPECT_EQ(kernel_.at(FakeKernel::vf_name(kPf, 1)).driver, "vfio-pci") << n;
    EXPECT_EQ(value("share"), "98") << n;
    EXPECT_EQ(value("vf0-quota") + value("vf1-quota"), "55") << n;
    EXPECT_EQ(value("vf0-state") + value("vf1-state"), "upup") << n;
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

  FakeKernel kernel_;
  vfio::Host host_{.root = kernel_.root(), .users_of = {}};
  std::vector<AdapterKind> kinds_{plain_kinds()};
};

TEST_F(Adapted, ThePfIsPreparedFirstAndEachVfBeforeItHasADriver) {
  kernel_.inject({});
  ASSERT_THAT(create(1), IsOk());
  std::vector<std::string> order;
  for (const auto& write : kernel_.writes()) order.push_back(write.substr(write.rfind('/') + 1));
  EXPECT_EQ(order,
            (std::vector<std::string>{"share 99", "sriov_drivers_autoprobe 0", "sriov_numvfs 1", "vf0-quota 5",
                                      "vf0-state up", "driver_override vfio-pci",
                                      "drivers_probe " + FakeKernel::vf_name(kPf, 0), "sriov_drivers_autoprobe 1"}));
}

TEST_F(Adapted, RemovalPutsEverythingBack) {
  ASSERT_THAT(create(2), IsOk());
  expect_made();
  ASSERT_THAT(destroy(), IsOk());
  expect_untouched();
}

TEST_F(Adapted, VfsThatOthersMadeAreStoppedBeforeTheyGo) {
  kinds_.clear();
  ASSERT_THAT(create(1, {}), IsOk());
  kinds_ = plain_kinds();
  set_file("vf0-state", "up");
  ASSERT_THAT(destroy(), IsOk());
  EXPECT_EQ(value("vf0-state"), "down");
}

TEST_F(Adapted, TheSameSettingsAgainChangeNothing) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.inject({});
  ASSERT_THAT(create(2), IsOk());
  ASSERT_THAT(create(2, {}), IsOk());
  EXPECT_EQ(kernel_.count(), 0);
  const auto other = create(2, {{"quota", "7"}});
  EXPECT_THAT(other, FailsWith(Errc::busy, HasSubstr("made with 'quota=5', wanted 'quota=7'")));
  EXPECT_THAT(other.error().hint(), HasSubstr("vf destroy"));
}

TEST_F(Adapted, AnUnknownSettingNamesTheNearest) {
  kernel_.inject({});
  const auto done = create(2, {{"qouta", "5"}});
  EXPECT_THAT(done, FailsWith(Errc::invalid, HasSubstr("no setting 'qouta'")));
  EXPECT_THAT(done.error().hint(), HasSubstr("did you mean quota?"));
  EXPECT_THAT(create(2, {{"colour", "5"}}).error().hint(), HasSubstr("its settings: quota, priority"));
  EXPECT_THAT(create(2, {{"quota", "99"}}), FailsWith(Errc::invalid, HasSubstr("above 10")));
  EXPECT_EQ(kernel_.count(), 0);
  expect_untouched();
}

TEST_F(Adapted, APfWithoutAdapterTakesNoSettings) {
  kinds_.clear();
  EXPECT_THAT(create(2), FailsWith(Errc::invalid, HasSubstr("takes no settings, but 'quota' is given")));
}

TEST_F(Adapted, PreviewSaysWhatThePfIsSetTo) {
  const auto lines = preview(
      host_,
      CreateRequest{.physical = bdf(kPf), .targets = targets_for(2), .settings = {{"quota", "5"}}, .adapters = kinds_});
  ASSERT_THAT(lines, IsOk());
  EXPECT_EQ(lines->front(), "set share to '98'");
  EXPECT_EQ(lines->at(3), "set up each of 2 VFs: quota=5");
}

TEST_F(Adapted, CreationIsUndoneWhicheverWriteFails) {
  int failures{};
  for (int n = 1; n < 100; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = EIO});
    if (create(2)) break;
    ++failures;
    expect_untouched(n);
  }
  EXPECT_EQ(failures, 12);  // share, autoprobe, numvfs, twice quota, state, override and probe, autoprobe
}

TEST_F(Adapted, AWriteThatDidNothingIsFoundAndUndone) {
  for (const int n : {1, 4, 5, 8, 9}) {
    kernel_.inject({.kind = Fault::Kind::lie, .at = n});
    EXPECT_THAT(create(2), FailsWith(Errc::rolled_back, HasSubstr("it reads"))) << n;
    expect_untouched(n);
  }
}

TEST_F(Adapted, RemovalIsUndoneWhileTheVfsAreThere) {
  ASSERT_THAT(create(2), IsOk());
  for (int n = 1; n <= 7; ++n) {  // two unbinds, two states, two quotas, numvfs
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = EIO});
    EXPECT_THAT(destroy(), FailsWith(Errc::rolled_back)) << n;
    expect_made(n);
  }
}

TEST_F(Adapted, ARemovalThatCannotPutThePfBackIsCompletedLater) {
  ASSERT_THAT(create(2), IsOk());
  kernel_.inject({.kind = Fault::Kind::refuse, .at = 8, .error = EIO});
  EXPECT_THAT(destroy(), FailsWith(Errc::stranded));
  ASSERT_THAT(recover(), IsOk());
  expect_untouched();
}

TEST_F(Adapted, AnInterruptedCreationIsUndoneLater) {
  for (const auto kind : {Fault::Kind::kill, Fault::Kind::kill_late}) {
    int kills{};
    while (kills < 100 && killed_at(kind, kills + 1, [this] { return create(2); })) {
      ++kills;
      ASSERT_THAT(recover(), IsOk());
      expect_untouched(kills);
    }
    EXPECT_EQ(kills, 12);
    ASSERT_THAT(destroy(), IsOk());
  }
}

TEST_F(Adapted, AnInterruptedRemovalIsCompletedLater) {
  ASSERT_THAT(create(2), IsOk());
  for (const auto kind : {Fault::Kind::kill, Fault::Kind::kill_late}) {
    int kills{};
    while (kills < 100 && killed_at(kind, kills + 1, [this] { return destroy(); })) {
      ++kills;
      ASSERT_THAT(recover(), IsOk());
      expect_untouched(kills);
      ASSERT_THAT(create(2), IsOk());
    }
    EXPECT_EQ(kills, 8);
    ASSERT_THAT(create(2), IsOk());
  }
}

TEST_F(Adapted, ARepairThatIsInterruptedIsRepeated) {
  ASSERT_TRUE(killed_at(Fault::Kind::kill_late, 9, [this] { return create(2); }));
  for (int n = 1; killed_at(Fault::Kind::kill, n, [this] { return recover(); }); ++n) ASSERT_LT(n, 20);
  expect_untouched();
}

}  // namespace
}  // namespace pcivm::sriov
