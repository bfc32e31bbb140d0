// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_match.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sriov/host_expect.hpp"

namespace pcivm::sriov {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
MacAddress mac(const std::string& text) { return MacAddress::parse(text).value(); }

/// Two ports of one NIC, one of them with a VF, and a drive.
class HostMatch : public testing::Test {
 protected:
  HostMatch() {
    state_.functions = {nic("0000:01:00.0", "52:54:00:aa:00:01"), nic("0000:01:00.1", "52:54:00:aa:00:02"),
                        FunctionState{.address = bdf("0000:02:00.0"),
                                      .id = {0x1b36, 0x0010},
                                      .nvme_serial = "DEAD",
                                      .nvme_nqn = "nqn.2019-08.org.qemu:DEAD",
                                      .slot = "3",
                                      .path = "pci-0000:02:00.0",
                                      .firmware = "8.2.1",
                                      .driver = {.driver = "nvme", .driver_override = ""}}};
    state_.functions[0].pf = PfState{.total_vfs = 7, .vfs = {{.address = bdf("0000:01:10.0")}}};
  }
  static FunctionState nic(const std::string& address, const std::string& permanent) {
    return {.address = bdf(address),
            .id = {0x8086, 0x10c9},
            .subsystem = {0x8086, 0xa04c},
            .permanent_mac = mac(permanent),
            .serials = {"SN123", "90-e2-ba-ff-ff-12-34-56"},
            .path = "pci-" + address,
            .firmware = "3.16, 0x800004ff, 1.304.0",
            .driver = {.driver = "igb", .driver_override = ""}};
  }
  Matches match(DeviceMatch wanted, DeviceExpect expect = {}) {
    HostConfig config;
    config.devices = {{.name = "dev", .place = {"host.yaml", 4, 3}, .match = std::move(wanted), .expect = std::move(expect)}};
    return match_devices(config, state_);
  }
  void expect_found(const DeviceMatch& wanted, const std::string& address) {
    const auto found = match(wanted);
    EXPECT_THAT(found.problems, IsEmpty());
    EXPECT_EQ(found.devices.at(0).function, bdf(address));
  }
  PlanProblem problem(const DeviceMatch& wanted, const DeviceExpect& expect = {}) {
    const auto found = match(wanted, expect);
    EXPECT_FALSE(found.devices.at(0).function);
    EXPECT_EQ(found.problems.size(), 1U);
    if (found.problems.size() != 1) return {};
    EXPECT_EQ(found.problems[0].place, (Place{"host.yaml", 4, 3}));
    EXPECT_FALSE(found.problems[0].fix.empty());
    return found.problems[0];
  }
  HostState state_;
};

TEST_F(HostMatch, EveryKeyAloneFindsItsFunction) {
  expect_found({.permanent_mac = mac("52:54:00:aa:00:02")}, "0000:01:00.1");
  expect_found({.nvme_serial = "DEAD"}, "0000:02:00.0");
  expect_found({.nvme_nqn = "nqn.2019-08.org.qemu:DEAD"}, "0000:02:00.0");
  expect_found({.slot = "3"}, "0000:02:00.0");
  expect_found({.path = "pci-0000:01:00.1"}, "0000:01:00.1");
  expect_found({.address = bdf("0000:01:00.0")}, "0000:01:00.0");
}

TEST_F(HostMatch, FindsByGuid) {
  state_.functions[1].permanent_guid = Guid{42};
  expect_found({.permanent_guid = Guid{42}}, "0000:01:00.1");
}

TEST_F(HostMatch, AFunctionNumberTellsPortsOfOneCardApart) {
  expect_found({.serial = "SN123", .function = 1}, "0000:01:00.1");
  EXPECT_EQ(problem({.serial = "SN123"}).code, "ambiguous");
}

TEST_F(HostMatch, ASerialNumberIsWrittenInAnyCase) {
  expect_found({.serial = "90-E2-BA-FF-FF-12-34-56", .function = 0}, "0000:01:00.0");
}

TEST_F(HostMatch, ACardThatMovedIsFoundByItsSerial) {
  for (auto& function : state_.functions) ++function.address.bus;
  expect_found({.nvme_serial = "DEAD"}, "0000:03:00.0");
  const auto moved = problem({.nvme_serial = "DEAD", .address = bdf("0000:02:00.0")});
  EXPECT_EQ(moved.code, "no-match");
  EXPECT_THAT(moved.text, AllOf(HasSubstr("nvme.serial DEAD is 0000:03:00.0"), HasSubstr("bdf 0000:02:00.0 is")));
}

TEST_F(HostMatch, SeveralAreNamed) {
  const auto several = problem({.serial = "SN123"});
  EXPECT_THAT(several.text, AllOf(HasSubstr("2 functions"), HasSubstr("0000:01:00.0, 0000:01:00.1")));
}

TEST_F(HostMatch, NobodyIsNobody) {
  const auto none = problem({.permanent_mac = mac("52:54:00:aa:00:09")});
  EXPECT_EQ(none.code, "no-match");
  EXPECT_THAT(none.text, HasSubstr("no function has permanentMac 52:54:00:aa:00:09"));
  EXPECT_EQ(problem({}).code, "no-match");
}

TEST_F(HostMatch, SaysThatAFunctionThatIsGivenAwayTellsNoMac) {
  state_.functions[1].driver = {.driver = "vfio-pci", .driver_override = "vfio-pci"};
  state_.functions[1].permanent_mac.reset();
  EXPECT_THAT(problem({.permanent_mac = mac("52:54:00:aa:00:02")}).fix, HasSubstr("given away"));
}

TEST_F(HostMatch, AVfIsNoDevice) {
  const auto vf = problem({.address = bdf("0000:01:10.0")});
  EXPECT_EQ(vf.code, "is-vf");
  EXPECT_THAT(vf.text, HasSubstr("VF 0 of 0000:01:00.0"));
  EXPECT_EQ(problem({.path = "pci-0000:01:10.0"}).code, "is-vf");
}

TEST_F(HostMatch, TwoDevicesAreNotOneFunction) {
  HostConfig config;
  config.devices = {{.name = "one", .place = {"a.yaml", 1, 1}, .match = {.nvme_serial = "DEAD"}},
                    {.name = "two", .place = {"b.yaml", 2, 2}, .match = {.slot = "3"}}};
  const auto found = match_devices(config, state_);
  ASSERT_THAT(found.problems, SizeIs(2));
  EXPECT_EQ(found.problems[0].code, "same-function");
  EXPECT_THAT(found.problems[0].text, HasSubstr("two (b.yaml:2:2)"));
  EXPECT_THAT(found.problems[1].text, HasSubstr("one (a.yaml:1:1)"));
  EXPECT_FALSE(found.devices[0].function || found.devices[1].function);
}

TEST_F(HostMatch, AnotherCardThanExpectedIsRefused) {
  const DeviceMatch drive{.nvme_serial = "DEAD"};
  EXPECT_THAT(problem(drive, {.id = PciId{0x1b36, 0x0011}}).text,
              HasSubstr("whose id is 1b36:0010, expected is 1b36:0011"));
  EXPECT_THAT(problem(drive, {.subsystem = PciId{1, 2}}).text, HasSubstr("0001:0002"));
  EXPECT_THAT(problem(drive, {.driver = "ahci"}).text, HasSubstr("driver is nvme, expected is ahci"));
  EXPECT_THAT(problem(drive, {.firmware = ">=9"}).text, HasSubstr("firmware is 8.2.1, expected is >=9"));
  EXPECT_EQ(problem(drive, {.firmware = "8.2"}).code, "unexpected");
  EXPECT_TRUE(match(drive, {.id = PciId{0x1b36, 0x0010}, .driver = "nvme", .firmware = ">=8.2"}).devices[0].function);
}

TEST_F(HostMatch, TheHostsOwnDriverIsExpectedNotTheOneItIsGivenAwayTo) {
  auto& drive = state_.functions[2];
  drive.driver = {.driver = "vfio-pci", .driver_override = "vfio-pci"};
  drive.firmware.clear();
  EXPECT_TRUE(match({.slot = "3"}, {.driver = "nvme", .firmware = ">=8"}).devices[0].function);
  drive.bound_by_pcivm = true;
  drive.native_driver = "nvme";
  EXPECT_TRUE(match({.slot = "3"}, {.driver = "nvme"}).devices[0].function);
  EXPECT_EQ(problem({.slot = "3"}, {.driver = "ahci"}).code, "unexpected");
}

TEST_F(HostMatch, AFunctionWithoutDriverHasNotTheOneThatIsExpected) {
  state_.functions[2].driver = {};
  EXPECT_THAT(problem({.slot = "3"}, {.driver = "nvme"}).text, HasSubstr("driver is none"));
}

TEST(FirmwareFits, ComparesPartByPart) {
  EXPECT_TRUE(firmware_fits("1.2", "1.2"));
  EXPECT_FALSE(firmware_fits("1.2.0", "1.2"));
  EXPECT_TRUE(firmware_fits("1.2.0", ">=1.2"));
  EXPECT_TRUE(firmware_fits("1.10", ">=1.9"));
  EXPECT_FALSE(firmware_fits("1.9", ">=1.10"));
  EXPECT_TRUE(firmware_fits("3.16, 0x800004ff, 1.304.0", ">=3.16"));
  EXPECT_FALSE(firmware_fits("3.16, 0x800004ff, 1.304.0", ">=3.17"));
  EXPECT_TRUE(firmware_fits("22.31.1014 (MT_0000000430)", ">=22.31.1000"));
  EXPECT_FALSE(firmware_fits("", ">=1"));
  EXPECT_FALSE(firmware_fits("abc", ">=1"));
  EXPECT_FALSE(firmware_fits("1.2", ">="));
  EXPECT_FALSE(firmware_fits("99999999999999999999999", ">=1"));
}

}  // namespace
}  // namespace pcivm::sriov
