// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm udev rules|install|wait, and what doctor says of rules, on a tree.
#include <gmock/gmock.h>

#include "tests/cli/run_command.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::cli {
namespace {

using test::FakePci;
using test::run_command;
using test::TempRoot;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto kConfig = R"(apiVersion: pcivm/v1
kind: HostConfig
devices:
  lan0:
    match: {bdf: "0000:01:00.0"}
    sriov:
      numVfs: 4
      vfs:
        - {index: 0-1, bind: vfio-pci}
        - {index: 2, bind: host, name: mgmt-vf}
  gpu1:
    match: {bdf: "0000:41:00.0"}
    passthrough: {bind: vfio-pci, group: whole, early: initramfs}
)";
constexpr auto kEarly = "/etc/udev/rules.d/04-pcivm-early.rules";
constexpr auto kHost = "/etc/udev/rules.d/61-pcivm-host.rules";

class UdevCommand : public testing::Test {
 protected:
  UdevCommand() {
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    temp.file("/sys/bus/pci/devices/0000:01:00.0/sriov_offset", "128\n");
    temp.file("/sys/bus/pci/devices/0000:01:00.0/sriov_stride", "2\n");
    pci.function({.address = "0000:41:00.0", .vendor = 0x10de, .device = 0x2204, .class_code = 0x030000, .group = 9});
    pci.function({.address = "0000:41:00.1", .vendor = 0x10de, .device = 0x1aef, .class_code = 0x040300, .group = 9});
    temp.file("/etc/pcivm/host.yaml", kConfig);
  }
  test::Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--root", temp.path("/").string()});
    return run_command(std::move(arguments));
  }
  std::string content(const char* path) { return temp.root().read(path).value_or("none"); }
  TempRoot temp;
  FakePci pci{temp};
};

TEST_F(UdevCommand, RulesFollowTheConfiguration) {
  const auto outcome = run({"udev", "rules"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("# /etc/udev/rules.d/04-pcivm-early.rules\n"));
  EXPECT_THAT(outcome.out, HasSubstr(R"(KERNEL=="0000:41:00.0", ATTR{vendor}=="0x10de", ATTR{device}=="0x2204")"));
  EXPECT_THAT(outcome.out, HasSubstr(R"(KERNEL=="0000:41:00.1", ATTR{vendor}=="0x10de", ATTR{device}=="0x1aef")"));
  // VFs that are not there yet: routing id of the PF + 128 + 2 each.
  EXPECT_THAT(outcome.out, HasSubstr(R"(KERNELS=="0000:01:10.0|0000:01:10.2", ENV{PCIVM_UNMANAGED}="1")"));
  EXPECT_THAT(outcome.out, HasSubstr(R"(KERNELS=="0000:01:10.4", NAME="mgmt-vf")"));
}

TEST_F(UdevCommand, EarlyRulesAloneAreTheFile) {
  const auto outcome = run({"udev", "rules", "--early"});
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("driver_override"), Not(HasSubstr("mgmt-vf"))));
  EXPECT_EQ(run({"udev", "install"}).code, 0);
  EXPECT_EQ(content(kEarly) + "\n", outcome.out);
}

TEST_F(UdevCommand, VfsThatAreThereAreTakenAsTheyAre) {
  pci.vf("0000:01:00.0", 0, "0000:01:10.1", 20);
  pci.vf("0000:01:00.0", 1, "0000:01:10.3", 21);
  EXPECT_THAT(run({"udev", "rules"}).out, HasSubstr(R"(KERNELS=="0000:01:10.1|0000:01:10.3")"));
}

TEST_F(UdevCommand, APfThatDoesNotTellWhereItsVfsWillBe) {
  temp.file("/sys/bus/pci/devices/0000:01:00.0/sriov_offset", "0\n");
  const auto outcome = run({"udev", "rules"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, Not(HasSubstr("KERNELS")));
}

TEST_F(UdevCommand, InstallWritesOnlyWhatChanged) {
  EXPECT_EQ(run({"udev", "install", "--check"}).code, 10);
  EXPECT_EQ(content(kHost), "none");
  const auto first = run({"udev", "install"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("write /etc/udev/rules.d/04-pcivm-early.rules"),
                               HasSubstr("write /etc/udev/rules.d/61-pcivm-host.rules")));
  EXPECT_THAT(first.err, HasSubstr("update-initramfs -u"));
  EXPECT_THAT(content(kHost), HasSubstr("mgmt-vf"));
  EXPECT_EQ(run({"udev", "install", "--check"}).code, 0);
  const auto second = run({"udev", "install"});
  EXPECT_THAT(second.out, IsEmpty());
  EXPECT_THAT(second.err, Not(HasSubstr("initramfs")));
}

TEST_F(UdevCommand, InstallRemovesRulesThatNobodyAsksFor) {
  EXPECT_EQ(run({"udev", "install"}).code, 0);
  temp.remove("/etc/pcivm/host.yaml");
  const auto outcome = run({"udev", "install"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("remove /etc/udev/rules.d/04-pcivm-early.rules"));
  EXPECT_EQ(content(kEarly), "none");
  EXPECT_EQ(content(kHost), "none");
}

TEST_F(UdevCommand, ADryRunWritesNothing) {
  EXPECT_THAT(run({"udev", "install", "--dry-run"}).out, HasSubstr("write " + std::string{kHost}));
  EXPECT_EQ(content(kHost), "none");
}

TEST_F(UdevCommand, AWrongConfigurationChangesNoRules) {
  EXPECT_EQ(run({"udev", "install"}).code, 0);
  const auto before = content(kHost);
  temp.file("/etc/pcivm/host.yaml", "kind: HostConfig\n");
  EXPECT_EQ(run({"udev", "install"}).code, 2);
  EXPECT_EQ(content(kHost), before);
}

TEST_F(UdevCommand, ADeviceThatIsNotThereIsTold) {
  temp.remove("/sys/bus/pci/devices/0000:41:00.0");
  const auto outcome = run({"udev", "install"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("no rules for gpu1"));
  EXPECT_EQ(content(kEarly), "none");
}

TEST_F(UdevCommand, DoctorSeesRulesThatAreNotTheConfigurations) {
  EXPECT_THAT(run({"doctor", "--all", "-o", "csv"}).out, HasSubstr("generated-rules,warning"));
  EXPECT_EQ(run({"udev", "install"}).code, 0);
  EXPECT_THAT(run({"doctor", "--all", "-o", "csv"}).out, HasSubstr("generated-rules,ok"));
  temp.remove("/etc/pcivm");
  EXPECT_THAT(run({"doctor", "--all", "-o", "csv"}).out, HasSubstr("generated-rules,warning"));
  EXPECT_EQ(run({"udev", "install"}).code, 0);
  EXPECT_THAT(run({"doctor", "--all", "-o", "csv"}).out, Not(HasSubstr("generated-rules")));
}

TEST_F(UdevCommand, WaitEndsAtOnceWhenAllIsThere) {
  const auto outcome = run({"udev", "wait"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, IsEmpty());
}

TEST_F(UdevCommand, WaitGivesUpOnAPfWithoutDriver) {
  pci.unbind("0000:01:00.0");
  temp.file("/run/udev/queue", "");
  const auto outcome = run({"udev", "wait", "--timeout", "1"});
  EXPECT_EQ(outcome.code, 0);  // the rest of the configuration is to be applied all the same
  EXPECT_THAT(outcome.err, HasSubstr("not there, or without driver: lan0"));
}

TEST_F(UdevCommand, WaitForADriveThatIsStarting) {
  temp.directory("/sys/bus/pci/devices/0000:01:00.0/nvme/nvme0");
  temp.file("/sys/bus/pci/devices/0000:01:00.0/nvme/nvme0/state", "connecting\n");
  temp.file("/run/udev/queue", "");
  EXPECT_THAT(run({"udev", "wait", "--timeout", "1"}).err, HasSubstr("lan0"));
  temp.file("/sys/bus/pci/devices/0000:01:00.0/nvme/nvme0/state", "live\n");
  EXPECT_THAT(run({"udev", "wait", "--timeout", "1"}).err, IsEmpty());
}

TEST_F(UdevCommand, NothingToWaitForWithoutAConfiguration) {
  temp.remove("/etc/pcivm");
  EXPECT_EQ(run({"udev", "wait"}).code, 0);
}

TEST_F(UdevCommand, OnlyTheLiveHostIsWatched) { EXPECT_EQ(run({"udev", "watch"}).code, 2); }

}  // namespace
}  // namespace pcivm::cli
