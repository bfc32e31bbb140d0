// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include <string>

#include "tests/cli/run_command.hpp"
#include "tests/support/config_text.hpp"
#include "tests/support/fake_pci.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// A host with a network adapter (eth2), two of its VFs, and a graphics card.
class ConfigImportTest : public testing::Test {
 protected:
  ConfigImportTest() {
    pci_.function({.address = "0000:01:00.0", .driver = "igb", .total_vfs = 7});
    pci_.vf("0000:01:00.0", 0, "0000:01:10.0", 10);
    pci_.vf("0000:01:00.0", 1, "0000:01:10.2", 11);
    pci_.function({.address = "0000:41:00.0", .vendor = 0x10de, .device = 0x2204, .class_code = 0x030000, .group = 12});
    host_.directory("/sys/devices/pci0000:00/0000:01:00.0/net/eth2");
    host_.link("/sys/class/net/eth2", "../../devices/pci0000:00/0000:01:00.0/net/eth2");
  }

  test::Outcome import(const std::string& tool, const std::vector<std::string>& sources = {}) {
    std::vector<std::string> arguments{"config", "import", tool};
    arguments.insert(arguments.end(), sources.begin(), sources.end());
    arguments.insert(arguments.end(), {"--root", host_.path("/").string()});
    return test::run_command(arguments);
  }
  std::string put(std::string_view path, std::string_view text) {
    host_.file(path, text);
    return host_.path(path).string();
  }
  static sriov::HostConfig read(const test::Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    ConfigProblems problems;
    auto config = test::config_of(outcome.out, problems);
    EXPECT_TRUE(problems.empty()) << outcome.out;
    return config;
  }

  test::TempRoot host_;
  test::FakePci pci_{host_};
};

TEST_F(ConfigImportTest, TakesOverridesOfDriverctl) {
  put("/etc/driverctl.d/0000:41:00.0", "vfio-pci\n");
  put("/etc/driverctl.d/0000:01:10.0", "vfio-pci\n");
  put("/etc/driverctl.d/0000:01:10.2", "none\n");
  put("/etc/driverctl.d/0000:99:00.0", "uio_pci_generic\n");
  put("/etc/driverctl.d/vmbus-x", "uio\n");
  put("/etc/driverctl.d/0000:98:00.0", "../../x\n");
  const auto outcome = import("driverctl");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("vmbus-x is left out: its name is no PCI address"),
                                 HasSubstr("pci-0000-99-00-0 is not on this host: add `expect` yourself"),
                                 HasSubstr("0000:98:00.0 is left out: '../../x' is not a driver's name")));
  const auto config = read(outcome);
  ASSERT_EQ(config.devices.size(), 3U);
  const auto& pf = config.devices[0];
  EXPECT_EQ(pf.name, "pci-0000-01-00-0");
  EXPECT_EQ(to_string(pf.match), "bdf 0000:01:00.0");
  EXPECT_EQ(pf.expect.id, (sriov::PciId{0x8086, 0x10c9}));
  EXPECT_EQ(pf.sriov->num_vfs, 2U);
  ASSERT_EQ(pf.sriov->vfs.size(), 2U);
  EXPECT_EQ(pf.sriov->vfs[0].bind, "vfio-pci");
  EXPECT_EQ(pf.sriov->vfs[1].bind, "none");
  EXPECT_EQ(config.devices[1].name, "pci-0000-41-00-0");
  EXPECT_EQ(config.devices[1].passthrough->bind, "vfio-pci");
  EXPECT_EQ(config.devices[1].expect.id, (sriov::PciId{0x10de, 0x2204}));
  EXPECT_EQ(config.devices[2].passthrough->bind, "uio_pci_generic");
  EXPECT_FALSE(config.devices[2].expect.id);
}

TEST_F(ConfigImportTest, TakesADirectoryOfOverrides) {
  put("/copy/0000:41:00.0", "vfio-pci\n");
  EXPECT_EQ(read(import("driverctl", {host_.path("/copy").string()})).devices.size(), 1U);
  EXPECT_EQ(import("driverctl").code, 3);  // this host has none
}

constexpr std::string_view kPolicies{R"(apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetworkNodePolicy
metadata:
  name: dpdk
  namespace: sriov
  labels: {a: "b"}
spec:
  resourceName: Intel_DPDK
  nodeSelector: {feature.node.kubernetes.io/network-sriov.capable: "true"}
  priority: 10
  mtu: 9000
  numVfs: 6
  nicSelector:
    vendor: "8086"
    deviceID: "10c9"
    pfNames: ["eth2#0-3", "eth9#0-1"]
  deviceType: vfio-pci
  linkType: eth
---
apiVersion: sriovnetwork.openshift.io/v1
kind: SriovNetworkNodePolicy
metadata: {name: net}
spec:
  resourceName: net
  priority: 99
  numVfs: 6
  mtu: 1500
  eSwitchMode: switchdev
  nicSelector: {rootDevices: ["0000:01:00.0"], pfNames: [eth2#3-7]}
  isRdma: true
---
kind: ConfigMap
)"};

TEST_F(ConfigImportTest, TakesPoliciesOfTheSriovOperator) {
  const auto outcome = import("sriov-operator", {put("/p.yaml", kPolicies)});
  EXPECT_THAT(
      outcome.err,
      AllOf(HasSubstr("dpdk: linkType is left out: it is a setting of the firmware"),
            HasSubstr("dpdk: nodeSelector is left out"), HasSubstr("dpdk: eth9 is left out"),
            HasSubstr("net: isRdma is left out"), HasSubstr("net: VF 3 of pci-0000-01-00-0 is left out"),
            HasSubstr("net: VFs 6 to 7 are left out: numVfs is 6"), HasSubstr("p.yaml:32: ConfigMap is left out")));
  const auto config = read(outcome);
  ASSERT_EQ(config.devices.size(), 1U);
  const auto& device = config.devices[0];
  EXPECT_EQ(device.expect.id, (sriov::PciId{0x8086, 0x10c9}));
  const auto& sriov = *device.sriov;
  EXPECT_EQ(sriov.num_vfs, 6U);
  EXPECT_EQ(sriov.mtu, 9000U);
  EXPECT_EQ(sriov.eswitch.mode, sriov::EswitchMode::switchdev);
  ASSERT_EQ(sriov.vfs.size(), 2U);
  EXPECT_EQ(sriov.vfs[0].last, 3U);
  EXPECT_EQ(sriov.vfs[0].bind, "vfio-pci");
  EXPECT_EQ(sriov.vfs[0].pool, "intel-dpdk");
  EXPECT_EQ(sriov.vfs[1].first, 4U);
  EXPECT_EQ(sriov.vfs[1].last, 5U);
  EXPECT_EQ(sriov.vfs[1].bind, "host");
  EXPECT_EQ(config.pools.count("net"), 1U);
}

TEST_F(ConfigImportTest, TakesListsOfPoliciesAndCardsByTheirIds) {
  const auto file = put("/list.json", R"({"apiVersion": "v1", "kind": "List", "items": [
{"kind": "SriovNetworkNodePolicy", "metadata": {"name": "all"}, "spec": {"numVfs": 2, "externallyManaged": true,
 "nicSelector": {"vendor": "8086", "deviceID": "10C9"}}},
{"kind": "SriovNetworkNodePolicy", "metadata": {"name": "absent"}, "spec": {"numVfs": 2, "nicSelector": {"vendor": "15b3"}}}]})");
  const auto outcome = import("sriov-operator", {file});
  EXPECT_THAT(outcome.err, HasSubstr("absent: no card of this host is meant"));
  const auto config = read(outcome);
  ASSERT_EQ(config.devices.size(), 1U);
  EXPECT_TRUE(config.devices[0].externally_managed);
  EXPECT_EQ(config.devices[0].sriov->vfs.at(0).last, 1U);
}

TEST_F(ConfigImportTest, SaysWhereAPolicyIsWrong) {
  const auto outcome = import(
      "sriov-operator", {put("/p.yaml", "kind: List\n---\nkind: SriovNetworkNodePolicy\nspec:\n  numVfs: six\n")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("p.yaml:5:11: spec.numVfs: 'six' is not a decimal number"));
  EXPECT_THAT(import("sriov-operator").err, HasSubstr("needs FILE"));
}

TEST_F(ConfigImportTest, TakesDevicesOfLibvirtDomains) {
  put("/etc/libvirt/qemu/web.xml", R"(<!-- made by virsh -->
<domain type='kvm'><name>web</name><devices>
<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/>
  <source><address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/></source></hostdev>
<hostdev mode='subsystem' type='usb'/>
<interface type='hostdev' managed='yes'><mac address='02:11:22:33:44:55'/>
  <source><address type='pci' domain='0x0000' bus='0x01' slot='0x10' function='0x2'/></source>
  <vlan><tag id='42'/></vlan></interface>
<interface type='network'><mac address='52:54:00:00:00:01'/></interface>
</devices></domain>)");
  put("/etc/libvirt/qemu/db.xml", R"(<domain><name>db</name><devices>
<interface type='hostdev'><mac address='02:11:22:33:44:66'/><source><address type='pci' bus='7' slot='1' function='0'/></source></interface>
<hostdev type='pci'><source><address bus='zz'/></source></hostdev>
</devices></domain>)");
  const auto outcome = import("libvirt");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("web: a hostdev of type usb is left out"),
                                 HasSubstr("db: MAC and VLAN of 0000:07:01.0 are left out: it is no VF of this host"),
                                 HasSubstr("db: a device is left out: 'zz'"), Not(HasSubstr("52:54"))));
  const auto config = read(outcome);
  ASSERT_EQ(config.devices.size(), 3U);
  EXPECT_EQ(config.devices[0].name, "pci-0000-01-00-0");
  ASSERT_EQ(config.devices[0].sriov->vfs.size(), 1U);
  const auto& vf = config.devices[0].sriov->vfs[0];
  EXPECT_EQ(vf.first, 1U);
  EXPECT_EQ(vf.mac, "02:11:22:33:44:55");
  EXPECT_EQ(vf.wish.vlan, 42);
  EXPECT_EQ(vf.bind, "vfio-pci");
  EXPECT_EQ(config.devices[1].name, "pci-0000-07-01-0");
  EXPECT_EQ(config.devices[2].passthrough->bind, "vfio-pci");
}

TEST_F(ConfigImportTest, TakesNodeDevicesOfLibvirt) {
  const auto file = put("/n.xml", R"(<device><name>pci_0000_05_00_0</name><driver><name>ixgbe</name></driver>
<capability type='pci'><domain>0</domain><bus>5</bus><slot>0</slot><function>0</function>
<product id='0x10fb'>82599</product><vendor id='0x8086'>Intel</vendor>
<capability type='virt_functions' maxCount='63'><address domain='0x0000' bus='0x05' slot='0x10' function='0x0'/>
<address domain='0x0000' bus='0x05' slot='0x10' function='0x2'/></capability></capability></device>
<device><name>net_eth2</name><capability type='net'/></device><pool/>)");
  const auto outcome = import("libvirt", {file});
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("net_eth2 is left out: it is no PCI function"), HasSubstr("<pool> is left out")));
  const auto config = read(outcome);
  ASSERT_EQ(config.devices.size(), 1U);
  EXPECT_EQ(config.devices[0].sriov->num_vfs, 2U);
  EXPECT_EQ(config.devices[0].expect.id, (sriov::PciId{0x8086, 0x10fb}));
}

TEST_F(ConfigImportTest, ExpandsNoEntitiesAndSurvivesHostileXml) {
  auto outcome =
      import("libvirt", {put("/e.xml", R"(<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "&x;&x;">]>
<domain><name>&x;&y;</name><devices><hostdev type='&x;'/></devices></domain>)")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("&x;&y;"), Not(HasSubstr("root:"))));
  std::string deep;
  for (int i = 0; i < 250'000; ++i) deep += "<a>";
  EXPECT_EQ(import("libvirt", {put("/d.xml", deep)}).code, 2);
  outcome = import("libvirt", {put("/b.xml", "<domain>\n<name>x</nam>")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("b.xml:2: this is no XML"));
}

TEST_F(ConfigImportTest, NamesTheToolsItKnows) {
  const auto outcome = import("libvrt");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("'libvrt' is none of driverctl, sriov-operator, libvirt"),
                                 HasSubstr("did you mean libvirt")));
}

}  // namespace
}  // namespace pcivm::cli
