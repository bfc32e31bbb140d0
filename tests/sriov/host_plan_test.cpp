// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pcivm::sriov {
namespace {

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

}  // namespace
}  // namespace pcivm::sriov
