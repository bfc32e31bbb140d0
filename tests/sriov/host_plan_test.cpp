// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

namespace pcivm::sriov {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
MacAddress mac(const std::string& text) { return MacAddress::parse(text).value(); }

const std::string kPf{"0000:01:00.0"};
const Place kPlace{.file = "host.yaml", .line = 12, .column = 7};

std::string vf_name(unsigned index) { return fmt::format("0000:01:{:02x}.{}", 16 + index / 8, index % 8); }

VfState vf(unsigned index, const std::string& driver = "", const std::string& override_name = "") {
  return {.address = bdf(vf_name(index)),
          .driver = {.driver = driver, .driver_override = override_name},
          .attributes = {.mac = MacAddress{},
                         .vlan = Vlan{},
                         .rate = Rate{},
                         .spoofchk = true,
                         .link_state = LinkState::automatic}};
}

/// One NIC with 7 VFs to make, one device "lan0" that is it.
class HostPlan : public testing::Test {
 protected:
  HostPlan() {
    state_.functions.push_back({.address = bdf(kPf),
                                .id = {0x8086, 0x10c9},
                                .subsystem = {0x8086, 0xa04c},
                                .class_code = 0x020000,
                                .path = "pci-" + kPf,
                                .netdev = "eth1",
                                .driver = {.driver = "igb", .driver_override = ""},
                                .settings = {{"reset_method", "flr bus"}, {"d3cold_allowed", "1"}, {"power/control", "on"}},
                                .pf = PfState{.total_vfs = 7, .mtu = 1500, .up = true}});
    config_.devices.push_back({.name = "lan0", .place = kPlace, .match = {.address = bdf(kPf)}});
  }
  FunctionState& function() { return state_.functions.front(); }
  PfState& pf() { return *function().pf; }
  SriovEntry& sriov() {
    auto& entry = config_.devices.front().sriov;
    if (!entry) entry = SriovEntry{.place = kPlace};
    return *entry;
  }
  PassthroughEntry& passthrough() {
    auto& entry = config_.devices.front().passthrough;
    if (!entry) entry = PassthroughEntry{.place = kPlace};
    return *entry;
  }
  void make_vfs(unsigned count, const std::string& driver = "", const std::string& override_name = "") {
    for (unsigned index = 0; index < count; ++index) pf().vfs.push_back(vf(index, driver, override_name));
  }
  Plan plan() { return plan_host(config_, state_); }

  HostState state_;
  HostConfig config_;
};

template <class Action>
const Action& action(const Plan& plan, std::size_t index) {
  return std::get<Action>(plan.steps.at(index).action);
}

TEST_F(HostPlan, MakesVfsWithTheirAttributesAndDrivers) {
  sriov().num_vfs = 2;
  sriov().vf_defaults.trust = true;
  sriov().vfs = {{.place = kPlace, .first = 0, .last = 1, .bind = "vfio-pci", .mac = "02:11:22:33:44:%02x"}};
  const auto result = plan();
  EXPECT_THAT(result.problems, IsEmpty());
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_EQ(result.steps[0].text, "make 2 VFs of 0000:01:00.0");
  EXPECT_EQ(result.steps[0].reason, "host.yaml:12:7 wants numVfs 2, the host has 0");
  const auto& making = action<MakeVfs>(result, 0);
  EXPECT_EQ(making.former, 0U);
  ASSERT_THAT(making.targets, SizeIs(2));
  EXPECT_EQ(making.targets[1].wish.mac, mac("02:11:22:33:44:01"));
  EXPECT_EQ(making.targets[1].wish.trust, true);
  EXPECT_EQ(making.targets[1].driver.driver, "vfio-pci");
  EXPECT_TRUE(making.autoprobe_after);
}

TEST_F(HostPlan, NothingToDoIsNoStep) {
  sriov().num_vfs = 2;
  sriov().vf_bind = "vfio-pci";
  make_vfs(2, "vfio-pci", "vfio-pci");
  EXPECT_THAT(plan().steps, IsEmpty());
  EXPECT_THAT(plan().problems, IsEmpty());
}

TEST_F(HostPlan, BindsAFunctionThatIsGivenAway) {
  passthrough().reset_methods = {"bus", "flr"};
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_EQ(result.steps[0].text, "bind 0000:01:00.0 to vfio-pci");
  const auto& step = action<SetDriver>(result, 0);
  EXPECT_EQ(step.driver, "vfio-pci");
  EXPECT_EQ(step.settings.at("reset_method"), "bus flr");
  ASSERT_THAT(result.steps[0].risks, SizeIs(1));
  EXPECT_THAT(result.steps[0].risks[0].text, HasSubstr("eth1"));
}

std::vector<std::string> codes(const Plan& plan) {
  std::vector<std::string> all;
  for (const auto& problem : plan.problems) all.push_back(problem.code);
  return all;
}
std::vector<std::string> risks(const Plan& plan) {
  std::vector<std::string> all;
  for (const auto& step : plan.steps) {
    for (const auto& risk : step.risks) all.push_back(risk.code);
  }
  return all;
}
const KeyStatus& key(const Plan& plan, const std::string& name) {
  const auto found = std::ranges::find(plan.keys, name, &KeyStatus::key);
  if (found == plan.keys.end()) throw std::out_of_range("no key " + name);
  return *found;
}

// ---- the number of VFs ----

TEST_F(HostPlan, RemovesAllWhenNoneAreWanted) {
  make_vfs(3, "vfio-pci", "vfio-pci");
  sriov().num_vfs = 0;
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<RemoveVfs>(result.steps[0].action));
  ASSERT_THAT(risks(result), ElementsAre("vfs-vanish"));
  EXPECT_EQ(result.steps[0].risks[0].text, "3 VFs vanish, 3 of them with a driver");
}

TEST_F(HostPlan, AnotherNumberNeedsPermission) {
  make_vfs(3);
  sriov().num_vfs = 5;
  const auto refused = plan();
  EXPECT_THAT(refused.steps, IsEmpty());
  ASSERT_THAT(codes(refused), ElementsAre("needs-recreate"));
  EXPECT_THAT(refused.problems[0].text, HasSubstr("numVfs 5 is wanted, the host has 3"));
  EXPECT_THAT(refused.problems[0].fix, HasSubstr("allowRecreate"));
}

TEST_F(HostPlan, VfsThatAreMadeAnewKeepWhatTheyWere) {
  make_vfs(3, "vfio-pci", "vfio-pci");
  pf().vfs[1].attributes.vlan = Vlan{.id = 100, .qos = 3};
  pf().vfs[2].attributes.mac = mac("02:00:00:00:00:02");
  config_.allow_recreate = true;
  sriov().num_vfs = 2;
  sriov().vfs = {{.place = kPlace, .first = 0, .last = 0, .bind = "none"}};
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_EQ(result.steps[0].text, "make 2 VFs of 0000:01:00.0 in place of 3");
  EXPECT_THAT(risks(result), ElementsAre("recreate"));
  const auto& making = action<MakeVfs>(result, 0);
  EXPECT_EQ(making.former, 3U);
  ASSERT_THAT(making.targets, SizeIs(2));
  EXPECT_EQ(making.targets[0].driver, (vfio::Target{.driver = "", .driver_override = ""}));
  EXPECT_EQ(making.targets[1].wish.vlan, 100);
  EXPECT_EQ(making.targets[1].driver, (vfio::Target{.driver = "vfio-pci", .driver_override = "vfio-pci"}));
}

TEST_F(HostPlan, MoreThanThePfOffersAreRefused) {
  sriov().num_vfs = 8;
  EXPECT_THAT(codes(plan()), ElementsAre("too-many-vfs"));
  EXPECT_THAT(plan().steps, IsEmpty());
}

TEST_F(HostPlan, AFunctionWithoutSriovMakesNone) {
  function().pf.reset();
  sriov().num_vfs = 1;
  EXPECT_THAT(codes(plan()), ElementsAre("no-sriov"));
  sriov().num_vfs = 0;
  EXPECT_THAT(codes(plan()), IsEmpty());
}

TEST_F(HostPlan, APfWithoutDriverMakesNone) {
  function().driver = {};
  sriov().num_vfs = 1;
  EXPECT_THAT(codes(plan()), ElementsAre("no-driver"));
}

TEST_F(HostPlan, APfThatIsGivenAwayComesBackFirst) {
  function().driver = {.driver = "vfio-pci", .driver_override = "vfio-pci"};
  function().bound_by_pcivm = true;
  function().native_driver = "igb";
  pf().mtu.reset();
  pf().up.reset();
  sriov().num_vfs = 1;
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(2));
  const auto& back = action<SetDriver>(result, 0);
  EXPECT_EQ(back.driver, "igb");
  EXPECT_FALSE(back.lasting);
  EXPECT_TRUE(std::holds_alternative<MakeVfs>(result.steps[1].action));
}

TEST_F(HostPlan, SomebodyElsesVfsAreNeitherMadeNorRemoved) {
  make_vfs(2);
  config_.devices[0].externally_managed = true;
  sriov().vfs = {{.place = kPlace, .first = 1, .last = 1, .bind = "vfio-pci"}};
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_EQ(action<SetDriver>(result, 0).functions, std::vector<Bdf>{bdf(vf_name(1))});
  sriov().vfs[0].last = 2;
  EXPECT_THAT(codes(plan()), ElementsAre("vf-range"));
  sriov().vfs[0].last = 1;
  sriov().num_vfs = 3;
  EXPECT_THAT(codes(plan()), ElementsAre("externally-managed"));
}

// ---- entries ----

TEST_F(HostPlan, EntriesThatCannotBeAreRefused) {
  sriov().num_vfs = 4;
  const VfEntry whole{.place = kPlace, .first = 0, .last = 1};
  sriov().vfs = {whole, {.place = {"b.yaml", 3, 1}, .first = 1, .last = 2}};
  ASSERT_THAT(codes(plan()), ElementsAre("overlap"));
  EXPECT_THAT(plan().problems[0].text, HasSubstr("host.yaml:12:7"));
  sriov().vfs = {whole};
  sriov().vfs[0].mac = "02:00:00:00:00:01";
  EXPECT_THAT(codes(plan()), ElementsAre("invalid-mac"));
  sriov().vfs[0].mac = "03:00:00:00:00:%02x";
  EXPECT_THAT(codes(plan()), ElementsAre("invalid-mac"));
  sriov().vfs = {whole};
  sriov().vfs[0].wish.qos = 3;
  EXPECT_THAT(codes(plan()), ElementsAre("invalid-vf", "invalid-vf"));
  sriov().vfs = {whole};
  sriov().vfs[0].pool = "vm-lann";
  config_.pools["vm-lan"] = kPlace;
  ASSERT_THAT(codes(plan()), ElementsAre("no-pool"));
  EXPECT_EQ(plan().problems[0].fix, "did you mean vm-lan?");
}

TEST_F(HostPlan, AnEntryWinsOverWhatHoldsForAll) {
  sriov().num_vfs = 2;
  sriov().vf_bind = "vfio-pci";
  sriov().vf_defaults = {.vlan = std::uint16_t{100}, .trust = true};
  sriov().vfs = {{.place = kPlace, .first = 1, .last = 1, .bind = "host", .wish = {.vlan = std::uint16_t{200}}}};
  const auto result = plan();
  const auto& targets = action<MakeVfs>(result, 0).targets;
  EXPECT_EQ(targets[0].wish.vlan, 100);
  EXPECT_EQ(targets[1].wish.vlan, 200);
  EXPECT_EQ(targets[1].wish.trust, true);
  EXPECT_EQ(targets[1].driver, (vfio::Target{.driver = {}, .driver_override = ""}));
}

// ---- VFs that stay ----

TEST_F(HostPlan, ChangesOnlyWhatDiffers) {
  make_vfs(2, "vfio-pci", "vfio-pci");
  pf().vfs[1].attributes.vlan = Vlan{.id = 100};
  sriov().vf_defaults.vlan = 100;
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  const auto& set = action<SetVf>(result, 0);
  EXPECT_EQ(set.index, 0U);
  EXPECT_THAT(set.changes, ElementsAre(VfChange{Vlan{.id = 100}}));
  EXPECT_EQ(result.steps[0].reason, "host.yaml:12:7 wants vlan.id 100, VF 0 has 0");
}

TEST_F(HostPlan, ADriverThatReadsTheMacOnlyOnceIsBoundAnew) {
  make_vfs(1, "igbvf");
  pf().vfs[0].netdev = "eth1v0";
  sriov().vfs = {{.place = kPlace, .first = 0, .last = 0, .mac = "02:00:00:00:00:01"}};
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(3));
  EXPECT_EQ(action<SetDriver>(result, 0).driver, "");
  EXPECT_THAT(action<SetVf>(result, 1).changes, ElementsAre(VfChange{mac("02:00:00:00:00:01")}));
  EXPECT_EQ(action<SetDriver>(result, 2).driver, "igbvf");
  EXPECT_FALSE(action<SetDriver>(result, 2).lasting);
  EXPECT_THAT(result.steps[0].risks, Contains(testing::Field(&Risk::text, HasSubstr("eth1v0"))));
}

TEST_F(HostPlan, AVfThatIsGivenAwayKeepsItsDriverWhenItsMacChanges) {
  make_vfs(1, "vfio-pci", "vfio-pci");
  sriov().vfs = {{.place = kPlace, .first = 0, .last = 0, .mac = "02:00:00:00:00:01"}};
  ASSERT_THAT(plan().steps, SizeIs(1));
  EXPECT_THAT(risks(plan()), ElementsAre("link-drops"));
}

TEST_F(HostPlan, AttributesComeBeforeAnotherDriver) {
  make_vfs(1, "igbvf");
  sriov().vfs = {{.place = kPlace, .first = 0, .last = 0, .bind = "vfio-pci", .mac = "02:00:00:00:00:01"}};
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<SetVf>(result.steps[0].action));
  EXPECT_EQ(action<SetDriver>(result, 1).driver, "vfio-pci");
}

TEST_F(HostPlan, VectorsNeedAVfWithoutDriverAndAreGivenBackFirst) {
  make_vfs(2, "vfio-pci", "vfio-pci");
  pf().vfs[0].attributes.msix_count = 3;
  pf().vfs[1].attributes.msix_count = 8;
  sriov().vf_defaults.msix_count = 4;
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(6));
  EXPECT_EQ(action<SetVf>(result, 1).index, 1U);
  EXPECT_EQ(action<SetVf>(result, 4).index, 0U);
  EXPECT_EQ(action<SetDriver>(result, 0).driver, "");
  EXPECT_EQ(action<SetDriver>(result, 2).driver, "vfio-pci");
  sriov().vf_defaults.msix_count = 0;  // the device's own number
  EXPECT_THAT(plan().steps, IsEmpty());
  EXPECT_EQ(key(plan(), "sriov.vfs[0].msix").verdict, KeyStatus::Verdict::unknown);
}

TEST_F(HostPlan, WhatIsNotReportedIsUnknownAndGoesAlong) {
  make_vfs(1);
  sriov().vf_defaults.trust = true;
  EXPECT_THAT(plan().steps, IsEmpty());
  EXPECT_EQ(key(plan(), "sriov.vfs[0].trust").verdict, KeyStatus::Verdict::unknown);
  EXPECT_FALSE(key(plan(), "sriov.vfs[0].trust").found);
  sriov().vf_defaults.vlan = 100;
  EXPECT_THAT(action<SetVf>(plan(), 0).changes, SizeIs(2));
}

TEST_F(HostPlan, EveryManagedKeyHasAVerdict) {
  make_vfs(1, "igbvf");
  sriov().num_vfs = 1;
  sriov().mtu = 9000;
  sriov().vfs = {{.place = kPlace, .first = 0, .last = 0, .bind = "vfio-pci", .wish = {.spoofchk = true}}};
  const auto result = plan();
  EXPECT_EQ(key(result, "sriov.numVfs").verdict, KeyStatus::Verdict::same);
  EXPECT_EQ(key(result, "sriov.pf.mtu").verdict, KeyStatus::Verdict::drift);
  EXPECT_EQ(key(result, "sriov.vfs[0].bind").found, "host");
  EXPECT_EQ(key(result, "sriov.vfs[0].spoofchk").verdict, KeyStatus::Verdict::same);
  EXPECT_EQ(key(result, "sriov.vfs[0].bind").place, kPlace);
}

// ---- the PF ----

TEST_F(HostPlan, AnInterfaceComesUpBeforeAndGoesDownAfter) {
  pf().up = false;
  sriov().num_vfs = 1;
  sriov().up = true;
  sriov().mtu = 9000;
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(3));
  EXPECT_EQ(action<SetLink>(result, 0).up, true);
  EXPECT_EQ(action<SetLink>(result, 2).mtu, 9000U);
  pf().up = true;
  sriov().up = false;
  EXPECT_EQ(action<SetLink>(plan(), 1).up, false);
  EXPECT_THAT(risks(plan()), ElementsAre("link-drops", "link-drops"));
}

TEST_F(HostPlan, ADriverThatMakesNoneWhileDownIsBroughtUp) {
  function().driver.driver = "bnxt_en";
  pf().up = false;
  sriov().num_vfs = 1;
  ASSERT_THAT(plan().steps, SizeIs(2));
  EXPECT_THAT(plan().steps[0].reason, HasSubstr("bnxt_en makes no VFs"));
  sriov().up = false;
  ASSERT_THAT(plan().steps, SizeIs(3));
  EXPECT_EQ(action<SetLink>(plan(), 2).up, false);
}

TEST_F(HostPlan, AutoprobeIsLeftAsItIsSaid) {
  sriov().autoprobe = false;
  EXPECT_EQ(action<SetLink>(plan(), 0).autoprobe, false);
  sriov().num_vfs = 1;
  ASSERT_THAT(plan().steps, SizeIs(1));
  EXPECT_FALSE(action<MakeVfs>(plan(), 0).autoprobe_after);
}

TEST_F(HostPlan, AnInterfaceThatIsNotHereCannotBeSet) {
  pf().mtu.reset();
  pf().up.reset();
  sriov().mtu = 9000;
  EXPECT_THAT(codes(plan()), ElementsAre("no-interface"));
}

TEST_F(HostPlan, AnEswitchThatIsNotThereIsRefused) {
  sriov().eswitch.mode = EswitchMode::switchdev;
  EXPECT_THAT(codes(plan()), ElementsAre("no-eswitch"));
}

TEST_F(HostPlan, TheEswitchChangesWhenItsDriverAllows) {
  pf().eswitch.mode = EswitchMode::legacy;
  sriov().eswitch.mode = EswitchMode::switchdev;
  function().driver.driver = "ice";
  EXPECT_TRUE(std::holds_alternative<SetEswitch>(plan().steps.at(0).action));
  make_vfs(1);
  EXPECT_THAT(codes(plan()), ElementsAre("needs-recreate"));
  function().driver.driver = "mlx5_core";
  EXPECT_TRUE(std::holds_alternative<SetEswitch>(plan().steps.at(0).action));
  pf().vfs[0].driver.driver = "mlx5_core";
  EXPECT_THAT(codes(plan()), ElementsAre("needs-recreate"));
  config_.allow_recreate = true;
  EXPECT_EQ(action<MakeVfs>(plan(), 0).eswitch.mode, EswitchMode::switchdev);
}

TEST_F(HostPlan, WhatOnlySwitchdevHasIsRefusedInLegacyMode) {
  sriov().num_vfs = 1;
  sriov().vf_defaults.roce = true;
  EXPECT_THAT(codes(plan()), ElementsAre("not-switchdev"));
}

TEST_F(HostPlan, OtherAdapterSettingsNeedNewVfs) {
  make_vfs(1);
  pf().settings = {{"vq", "2"}};
  sriov().settings = {{"vq", "4"}};
  EXPECT_THAT(codes(plan()), ElementsAre("needs-recreate"));
  config_.allow_recreate = true;
  EXPECT_EQ(action<MakeVfs>(plan(), 0).settings, (Settings{{"vq", "4"}}));
}

// ---- functions that are given away ----

TEST_F(HostPlan, APfThatIsGivenAwayLosesItsVfsFirst) {
  make_vfs(2);
  passthrough().bind = "vfio-pci";
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<RemoveVfs>(result.steps[0].action));
  EXPECT_THAT(risks(result), ElementsAre("vfs-vanish", "driver-changes"));
}

TEST_F(HostPlan, OnlySettingsAreOneStepWithoutRisk) {
  passthrough().bind = "host";
  passthrough().d3cold = false;
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_EQ(action<SetDriver>(result, 0).driver, std::nullopt);
  EXPECT_EQ(action<SetDriver>(result, 0).settings, (vfio::Settings{{"d3cold_allowed", "0"}}));
  EXPECT_THAT(risks(result), IsEmpty());
}

TEST_F(HostPlan, ASettingThatAFunctionDoesNotHaveIsRefused) {
  function().settings.erase("reset_method");
  passthrough().reset_methods = {"flr"};
  EXPECT_THAT(codes(plan()), ElementsAre("no-setting"));
}

/// A card of two functions in one group.
class HostPlanGroup : public HostPlan {
 protected:
  HostPlanGroup() {
    function().iommu_group = 5;
    auto other = function();
    other.address = bdf("0000:01:00.1");
    other.netdev.clear();
    other.driver.driver = "snd_hda_intel";
    other.pf.reset();
    state_.functions.push_back(other);
    passthrough().whole_group = true;
  }
};

TEST_F(HostPlanGroup, GoesAsOneStep) {
  const auto result = plan();
  ASSERT_THAT(result.steps, SizeIs(1));
  EXPECT_THAT(action<SetDriver>(result, 0).functions, ElementsAre(bdf(kPf), bdf("0000:01:00.1")));
  EXPECT_EQ(key(result, "passthrough.group").found, "1 of 1 others elsewhere");
}

TEST_F(HostPlanGroup, AMemberThatIsWantedOtherwiseIsNamed) {
  config_.devices.push_back({.name = "sound",
                             .place = {"b.yaml", 1, 1},
                             .match = {.address = bdf("0000:01:00.1")},
                             .passthrough = PassthroughEntry{.bind = "host"}});
  const auto result = plan();
  ASSERT_THAT(codes(result), ElementsAre("group-conflict"));
  EXPECT_THAT(result.problems[0].text, HasSubstr("sound (b.yaml:1:1)"));
  EXPECT_EQ(result.problems[0].place, kPlace);
}

TEST_F(HostPlanGroup, AMemberWithVfsStandsInTheWay) {
  state_.functions[1].pf = PfState{.total_vfs = 7, .vfs = {vf(0)}};
  EXPECT_THAT(codes(plan()), ElementsAre("group-has-vfs"));
}

TEST_F(HostPlanGroup, ThereMustBeAGroup) {
  function().iommu_group.reset();
  EXPECT_THAT(codes(plan()), ElementsAre("no-iommu"));
}

// ---- the whole plan ----

TEST_F(HostPlan, OneDeviceAloneCanBePlanned) {
  sriov().num_vfs = 1;
  EXPECT_THAT(plan_host(config_, state_, "lan0").steps, SizeIs(1));
  const auto other = plan_host(config_, state_, "lan1");
  EXPECT_THAT(other.steps, IsEmpty());
  ASSERT_THAT(codes(other), ElementsAre("no-device"));
  EXPECT_EQ(other.problems[0].fix, "did you mean lan0?");
}

TEST_F(HostPlan, AnotherHostOrAnotherPlanHasAnotherId) {
  sriov().num_vfs = 1;
  const auto id = plan().id;
  EXPECT_EQ(plan().id, id);
  sriov().vf_defaults.vlan = 100;
  EXPECT_NE(plan().id, id);
  sriov().vf_defaults.vlan.reset();
  pf().mtu = 9000;
  EXPECT_NE(plan().id, id);
}

TEST_F(HostPlan, AnExportNamesRangesAndPatterns) {
  make_vfs(4, "vfio-pci", "vfio-pci");
  for (unsigned index = 0; index < 3; ++index) {
    pf().vfs[index].attributes.mac = mac(fmt::format("02:11:22:33:44:{:02x}", index));
  }
  function().serials = {"SN1"};
  const auto config = as_config(state_, false);
  ASSERT_THAT(config.devices, SizeIs(1));
  EXPECT_EQ(config.devices[0].match, (DeviceMatch{.serial = "SN1"}));
  const auto& vfs = config.devices[0].sriov.value().vfs;
  ASSERT_THAT(vfs, SizeIs(2));
  EXPECT_EQ(vfs[0].mac, "02:11:22:33:44:%02x");
  EXPECT_EQ(vfs[0].last, 2U);
  EXPECT_EQ(vfs[1].first, 3U);
  EXPECT_FALSE(vfs[1].mac);
}

TEST_F(HostPlan, AFreshHostExportsNothing) { EXPECT_THAT(as_config(state_, false).devices, IsEmpty()); }

}  // namespace
}  // namespace pcivm::sriov
