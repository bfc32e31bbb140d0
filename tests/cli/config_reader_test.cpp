// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include <string>

#include <fmt/format.h>

#include "cli/config_reader.hpp"
#include "tests/support/config_text.hpp"

namespace pcivm::cli {
namespace {

using sriov::EswitchMode;
using sriov::HostConfig;
using sriov::LinkState;
using sriov::Place;
using sriov::VlanProtocol;
using test::config_of;
using test::config_problems;
using test::kConfigHead;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

HostConfig read(std::string_view body) {
  ConfigProblems problems;
  auto config = config_of(std::string{kConfigHead} + std::string{body}, problems);
  for (const auto& problem : problems) ADD_FAILURE() << as_error(problem).text();
  return config;
}

/// Line 3 is the first of `body`.
std::vector<std::string> problems_of(std::string_view body) {
  return config_problems(std::string{kConfigHead} + std::string{body});
}

/// What `key: VALUE` in `sriov` of a device gives; column 7 is the key's.
std::vector<std::string> in_sriov(std::string_view line) {
  return problems_of(fmt::format("devices:\n  lan0:\n    match: {{slot: 3}}\n    sriov:\n      {}\n", line));
}
std::vector<std::string> in_vf(std::string_view keys) { return in_sriov(fmt::format("vfs: [{{index: 0, {}}}]", keys)); }
std::vector<std::string> in_match(std::string_view keys) {
  return problems_of(fmt::format("devices:\n  lan0:\n    match: {{{}}}\n", keys));
}
std::vector<std::string> in_passthrough(std::string_view keys) {
  return problems_of(fmt::format("devices:\n  lan0:\n    match: {{slot: 3}}\n    passthrough: {{{}}}\n", keys));
}

TEST(ConfigReader, ReadsANetworkAdapter) {
  const auto config = read(R"(defaults: {allowRecreate: true}
devices:
  lan0:
    match:
      permanentMac: 52:54:00:12:34:56
      bdf: 0000:01:00.0
      function: 1
    expect: {id: "8086:10c9", subsystem: 8086:a04c, driver: igb, firmware: ">=1.2"}
    externallyManaged: true
    sriov:
      numVfs: 8
      autoprobe: false
      eswitch: {mode: switchdev, inline: transport, encap: true}
      pf: {mtu: 9000, up: true}
      vfDefaults: {bind: vfio-pci, trust: false, spoofchk: true, linkState: auto}
      vfs:
        - {index: 7, bind: none}
        - {index: 2, bind: host, name: mgmt-vf}
        - {index: 0-1, mac: "02:11:22:33:44:%02x", vlan: {id: 100, qos: 3, proto: 802.1ad},
           rate: {min: 10, max: 1000}, msix: 8, pool: vm-lan, rssQuery: true}
        - {index: [3, 5-6], guid: {}, roce: true, migratable: false, rateParent: none}
        - {index: 4, guid: {node: 0c:42:a1:03:00:01:02:03, port: "0c:42:a1:03:00:01:02:04"}, rateParent: group1}
pools: {vm-lan: {}}
)");
  EXPECT_TRUE(config.allow_recreate);
  EXPECT_THAT(config.files, ElementsAre("host.yaml"));
  EXPECT_EQ(config.pools.at("vm-lan"), (Place{"host.yaml", 25, 9}));
  ASSERT_EQ(config.devices.size(), 1U);
  const auto& device = config.devices[0];
  EXPECT_EQ(device.name, "lan0");
  EXPECT_EQ(device.place, (Place{"host.yaml", 5, 3}));
  EXPECT_EQ(to_string(device.match), "permanentMac 52:54:00:12:34:56, bdf 0000:01:00.0, function 1");
  EXPECT_EQ(device.expect.id, (sriov::PciId{0x8086, 0x10c9}));
  EXPECT_EQ(device.expect.subsystem, (sriov::PciId{0x8086, 0xa04c}));
  EXPECT_EQ(device.expect.driver, "igb");
  EXPECT_EQ(device.expect.firmware, ">=1.2");
  EXPECT_TRUE(device.externally_managed);
  ASSERT_TRUE(device.sriov);
  const auto& sriov = *device.sriov;
  EXPECT_EQ(sriov.place, (Place{"host.yaml", 12, 5}));
  EXPECT_EQ(sriov.num_vfs, 8U);
  EXPECT_EQ(sriov.autoprobe, false);
  EXPECT_EQ(sriov.eswitch, (sriov::Eswitch{EswitchMode::switchdev, sriov::InlineMode::transport, true}));
  EXPECT_EQ(sriov.mtu, 9000U);
  EXPECT_EQ(sriov.up, true);
  EXPECT_EQ(sriov.vf_bind, "vfio-pci");
  EXPECT_EQ(sriov.vf_defaults, (sriov::VfWish{.spoofchk = true, .link_state = LinkState::automatic, .trust = false}));
  ASSERT_EQ(sriov.vfs.size(), 6U);
  EXPECT_EQ(sriov.vfs[0].place, (Place{"host.yaml", 21, 11}));
  EXPECT_EQ(sriov.vfs[0].last, 1U);
  EXPECT_EQ(sriov.vfs[0].mac, "02:11:22:33:44:%02x");
  EXPECT_EQ(sriov.vfs[0].pool, "vm-lan");
  EXPECT_EQ(sriov.vfs[0].wish, (sriov::VfWish{.vlan = 100,
                                              .qos = 3,
                                              .protocol = VlanProtocol::dot1ad,
                                              .min_tx_rate = 10,
                                              .max_tx_rate = 1000,
                                              .rss_query = true,
                                              .msix_count = 8}));
  EXPECT_EQ(sriov.vfs[1].name, "mgmt-vf");
  EXPECT_EQ(sriov.vfs[1].bind, "host");
  EXPECT_EQ(sriov.vfs[2].first, 3U);
  EXPECT_EQ(sriov.vfs[2].wish, (sriov::VfWish{.roce = true, .migratable = false, .rate_parent = ""}));
  EXPECT_EQ(sriov.vfs[3].first, 4U);
  EXPECT_EQ(sriov.vfs[3].wish.node_guid->to_string(), "0c:42:a1:03:00:01:02:03");
  EXPECT_EQ(sriov.vfs[3].wish.rate_parent, "group1");
  EXPECT_EQ(sriov.vfs[4].first, 5U);
  EXPECT_EQ(sriov.vfs[4].last, 6U);
  EXPECT_EQ(sriov.vfs[5].bind, "none");
}

TEST(ConfigReader, ReadsNvmeGpuAndWholeFunctions) {
  const auto config = read(R"(devices:
  nvme1:
    match: {nvme: {serial: DEAD, nqn: "nqn.2014-08.org.nvmexpress:uuid:1"}}
    sriov: {numVfs: 2, settings: {vq: 2, vi: 1, namespaces: [1, 3]}, vfs: [{index: 0-1, bind: vfio-pci}]}
  gpu0:
    match: {path: "pci-0000:03:00.0"}
    sriov: {numVfs: 4, settings: {vram: 2GiB, exec-quantum: 20ms, priority: normal}}
  gpu1:
    match: {serial: "00123", slot: 3}
    passthrough: {group: whole, early: initramfs, resetMethod: [flr, bus], d3cold: false, power: on, pool: gpus}
  hba0:
    match: {bdf: 41:00.1}
    passthrough: {bind: host, resetMethod: pm}
pools:
  gpus:
)");
  ASSERT_EQ(config.devices.size(), 4U);
  EXPECT_THAT(config.devices, ElementsAre(testing::Field(&sriov::DeviceEntry::name, "gpu0"),
                                          testing::Field(&sriov::DeviceEntry::name, "gpu1"),
                                          testing::Field(&sriov::DeviceEntry::name, "hba0"),
                                          testing::Field(&sriov::DeviceEntry::name, "nvme1")));
  EXPECT_EQ(config.devices[0].sriov->settings,
            (sriov::Settings{{"exec-quantum", "20ms"}, {"priority", "normal"}, {"vram", "2GiB"}}));
  EXPECT_EQ(config.devices[0].match.path, "pci-0000:03:00.0");
  EXPECT_EQ(config.devices[1].match.slot, "3");
  EXPECT_EQ(config.devices[1].match.serial, "00123");
  sriov::PassthroughEntry whole{.place = config.devices[1].passthrough->place,
                                .bind = "vfio-pci",
                                .whole_group = true,
                                .early = true,
                                .reset_methods = {"flr", "bus"},
                                .d3cold = false,
                                .power = "on",
                                .pool = "gpus"};
  EXPECT_EQ(config.devices[1].passthrough, whole);
  EXPECT_EQ(config.devices[2].match.address->to_string(), "0000:41:00.1");
  EXPECT_EQ(config.devices[2].passthrough->bind, "host");
  EXPECT_THAT(config.devices[2].passthrough->reset_methods, ElementsAre("pm"));
  EXPECT_EQ(config.devices[3].match.nvme_serial, "DEAD");
  EXPECT_EQ(config.devices[3].sriov->settings, (sriov::Settings{{"namespaces", "1,3"}, {"vi", "1"}, {"vq", "2"}}));
}

TEST(ConfigReader, WantsItsHead) {
  EXPECT_THAT(config_problems("devices: {}\n"), ElementsAre("host.yaml:1:1: apiVersion is missing, wanted pcivm/v1",
                                                            "host.yaml:1:1: kind is missing, wanted HostConfig"));
  EXPECT_THAT(config_problems("apiVersion: pcivm/v2\nkind: HostConfig\nnew: 1\n"),
              ElementsAre("host.yaml:1:1: this is pcivm/v2 HostConfig, wanted pcivm/v1 HostConfig"));
  EXPECT_THAT(config_problems("apiVersion: sriovnetwork.openshift.io/v1\nkind: SriovNetworkNodePolicy\n"),
              ElementsAre(HasSubstr("pcivm config import sriov-operator")));
  EXPECT_THAT(config_problems("- a\n"), ElementsAre("host.yaml:1:1: this is no map, wanted keys with their values"));
  EXPECT_THAT(config_problems("---\n"), ElementsAre("host.yaml: there is nothing in it"));
  EXPECT_THAT(problems_of("devices:\npools:\n"), IsEmpty());
}

TEST(ConfigReader, NamesTheNearestKeyAtEveryLevel) {
  EXPECT_THAT(problems_of("device: {}\n"),
              ElementsAre("host.yaml:3:1: device: there is no such key | did you mean devices"));
  EXPECT_THAT(problems_of("defaults: {allowRecreat: true}\n"),
              ElementsAre("host.yaml:3:12: defaults.allowRecreat: there is no such key | did you mean allowRecreate"));
  EXPECT_THAT(in_sriov("num_vf: 3"),
              ElementsAre("host.yaml:7:7: devices.lan0.sriov.num_vf: there is no such key | did you mean numVfs"));
  EXPECT_THAT(in_vf("lan: {}"),
              ElementsAre(AllOf(HasSubstr("devices.lan0.sriov.vfs[0].lan"), HasSubstr("did you mean vlan"))));
  EXPECT_THAT(in_vf("vlan: {id: 1, priority: 3}"), ElementsAre(HasSubstr("keys here: id, qos, proto")));
  EXPECT_THAT(in_vf("rate: {mx: 1}"), ElementsAre(HasSubstr("did you mean max")));
  EXPECT_THAT(in_vf("guid: {prt: 1}"), ElementsAre(HasSubstr("did you mean port")));
  EXPECT_THAT(in_match("slot: 3, sriel: 1"), ElementsAre(HasSubstr("did you mean serial")));
  EXPECT_THAT(in_match("nvme: {sn: 1}"), Contains(HasSubstr("match.nvme.sn: there is no such key")));
  EXPECT_THAT(in_sriov("eswitch: {mod: legacy}"), ElementsAre(HasSubstr("did you mean mode")));
  EXPECT_THAT(in_sriov("pf: {mtuu: 1500}"), ElementsAre(HasSubstr("did you mean mtu")));
  EXPECT_THAT(in_sriov("vfDefaults: {mac: 02:11:22:33:44:55}"),
              ElementsAre(HasSubstr("vfDefaults.mac: there is no such key")));
  EXPECT_THAT(in_sriov("settings: {namespace: 1}"), ElementsAre(HasSubstr("did you mean namespaces")));
  EXPECT_THAT(in_passthrough("earl: initramfs"), ElementsAre(HasSubstr("did you mean early")));
  EXPECT_THAT(problems_of("pools: {a: {numa: prefer}}\n"),
              ElementsAre(HasSubstr("pools.a.numa: there is no such key")));
}

TEST(ConfigReader, TakesOnlyTrueAndFalse) {
  for (const auto* yes : {"yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "True", "TRUE"}) {
    EXPECT_THAT(in_sriov(fmt::format("autoprobe: {}", yes)),
                ElementsAre(AllOf(StartsWith("host.yaml:7:18: devices.lan0.sriov.autoprobe: '"),
                                  HasSubstr("wanted true or false | write true"))))
        << yes;
  }
  for (const auto* no : {"no", "No", "off", "OFF", "n", "False"}) {
    EXPECT_THAT(in_sriov(fmt::format("autoprobe: {}", no)), ElementsAre(HasSubstr("| write false"))) << no;
  }
  EXPECT_THAT(in_sriov("autoprobe: \"true\""),
              ElementsAre(HasSubstr("\"true\" is text, wanted true or false without quotes")));
  EXPECT_THAT(in_sriov("autoprobe: 1"), ElementsAre(HasSubstr("'1' is not true or false")));
  EXPECT_THAT(in_sriov("autoprobe:"),
              ElementsAre(HasSubstr("nothing is given, wanted true or false | leave the key out")));
  EXPECT_THAT(in_sriov("autoprobe: [true]"), ElementsAre(HasSubstr("a list is given")));
}

TEST(ConfigReader, TakesOnlyDecimalNumbers) {
  for (const auto* bad :
       {"0x10", "1_000", "1e3", "1.0", "+4", "-1", "12:30:45", "four", "65536", "4 ", ".inf", "0o7"}) {
    const auto text = std::string_view{bad} == "4 " ? "\"4 \"" : bad;
    EXPECT_THAT(in_sriov(fmt::format("numVfs: {}", text)),
                ElementsAre(StartsWith("host.yaml:7:15: devices.lan0.sriov.numVfs: ")))
        << bad;
  }
  EXPECT_THAT(in_sriov("numVfs: four"), ElementsAre(HasSubstr("'four' is not a decimal number from 0 to 65535")));
  EXPECT_THAT(in_sriov("numVfs: 012"),
              ElementsAre(HasSubstr(
                  "'012' is octal to some readers of YAML, wanted a decimal number from 0 to 65535 | write 12")));
  EXPECT_THAT(in_sriov("numVfs: 00"), ElementsAre(HasSubstr("| write 0")));
  EXPECT_THAT(in_sriov("numVfs: \"4\""), ElementsAre(HasSubstr("is text, wanted a decimal number")));
  EXPECT_THAT(in_sriov("numVfs: {}"), ElementsAre(HasSubstr("a map is given")));
  EXPECT_THAT(in_sriov("pf: {mtu: 67}"), ElementsAre(HasSubstr("from 68 to 65535")));
  EXPECT_THAT(in_vf("vlan: {id: 4095}"), ElementsAre(HasSubstr("from 0 to 4094")));
  EXPECT_THAT(in_vf("vlan: {id: 1, qos: 8}"), ElementsAre(HasSubstr("from 0 to 7")));
  EXPECT_THAT(in_vf("msix: 2049"), ElementsAre(HasSubstr("from 0 to 2048")));
  EXPECT_THAT(in_vf("rate: {max: 4294967296}"), ElementsAre(HasSubstr("from 0 to 4294967295")));
  EXPECT_THAT(in_match("slot: 3, function: 8"), ElementsAre(HasSubstr("from 0 to 7")));
}

TEST(ConfigReader, WantsQuotesAroundTextThatIsNoneToSomeReaders) {
  for (const auto* odd : {"1.20", "0x1f", "007", "1e3", "yes", "NO", "true", "-3", "2026-01-01", "12:30", ".5", "1_000",
                          "0o7", "+1", ".inf", ".nan"}) {
    EXPECT_THAT(in_match(fmt::format("serial: {}", odd)),
                ElementsAre(AllOf(HasSubstr("is not text for every reader of YAML"),
                                  HasSubstr(fmt::format("| write \"{}\"", odd)))))
        << odd;
    EXPECT_THAT(in_match(fmt::format("serial: \"{}\"", odd)), IsEmpty()) << odd;
  }
  for (const auto* plain : {"DEAD", "3", "12345678901234567890", "S3X1", "1.2.3-a", "pci-0000:01:00.0", "2GiB", "e3"}) {
    EXPECT_THAT(in_match(fmt::format("serial: {}", plain)), IsEmpty()) << plain;
  }
  EXPECT_THAT(in_match("serial: null"), ElementsAre(HasSubstr("nothing is given")));
  EXPECT_THAT(in_match("serial: \"\""), ElementsAre(HasSubstr("an empty text")));
  EXPECT_THAT(in_match("serial: \"a\\nb\""), ElementsAre(HasSubstr("several lines")));
  EXPECT_THAT(in_match("serial: " + std::string(256, 'x')), ElementsAre(HasSubstr("wanted at most 255")));
}

TEST(ConfigReader, ChecksAddressesAndWords) {
  EXPECT_THAT(in_match("permanentMac: 02:11:22:33:44"), ElementsAre(HasSubstr("is not a usable MAC address")));
  EXPECT_THAT(in_match("permanentMac: 01:11:22:33:44:55"), ElementsAre(HasSubstr("multicast")));
  EXPECT_THAT(in_match("permanentMac: 10:11:12:13:14:15"), IsEmpty());  // a number in base 60 to YAML 1.1
  EXPECT_THAT(in_match("bdf: 0000:01:00"), ElementsAre(HasSubstr("malformed PCI address")));
  EXPECT_THAT(in_match("permanentGuid: 0c:42"), ElementsAre(HasSubstr("permanentGuid")));
  EXPECT_THAT(in_vf("linkState: up"), ElementsAre(HasSubstr("'up' is none of auto, enable, disable")));
  EXPECT_THAT(in_vf("linkState: enabled"), ElementsAre(HasSubstr("| did you mean enable")));
  EXPECT_THAT(in_vf("vlan: {id: 1, proto: 8021q}"), ElementsAre(HasSubstr("did you mean 802.1q")));
  EXPECT_THAT(in_sriov("eswitch: {mode: switch}"), ElementsAre(HasSubstr("none of legacy, switchdev")));
  EXPECT_THAT(in_vf("bind: vfio pci"), ElementsAre(HasSubstr("'vfio pci' is not a driver's name")));
  EXPECT_THAT(in_vf("bind: ../x"), ElementsAre(HasSubstr("is not a driver's name")));
  EXPECT_THAT(in_vf("bind: host, name: a/b"), ElementsAre(HasSubstr("is not a name for an interface")));
  EXPECT_THAT(in_vf("bind: host, name: sixteen-letters-"), ElementsAre(HasSubstr("at most 15 characters")));
  EXPECT_THAT(in_vf("pool: VM"), ElementsAre(HasSubstr("a name of at most 63 characters a-z")));
  EXPECT_THAT(in_passthrough("group: all"), ElementsAre(HasSubstr("'all' is none of whole")));
  EXPECT_THAT(in_passthrough("early: true"), ElementsAre(HasSubstr("'true' is none of initramfs")));
  EXPECT_THAT(in_passthrough("power: off"), ElementsAre(HasSubstr("'off' is none of on, auto")));
  EXPECT_THAT(in_passthrough("resetMethod: [flr, slot]"), ElementsAre(HasSubstr("'slot' is none of device_specific")));
  EXPECT_THAT(in_passthrough("resetMethod: [flr, pm, flr]"), ElementsAre(HasSubstr("'flr' is named twice")));
  EXPECT_THAT(in_passthrough("resetMethod: []"), ElementsAre(HasSubstr("an empty list")));
  EXPECT_THAT(problems_of("devices:\n  expect0: {match: {slot: 1}, expect: {id: \"8086:10c\"}}\n"),
              ElementsAre(HasSubstr("vendor and device such as")));
  for (const auto* name : {"Lan0", "-a", "a_b", "a.b", "a/b", "\"\"", "größe"}) {
    EXPECT_THAT(problems_of(fmt::format("devices: {{{}: {{match: {{slot: 1}}}}}}\n", name)),
                ElementsAre(HasSubstr("cannot name a device")))
        << name;
  }
}

TEST(ConfigReader, ChecksIndexesOfVfs) {
  const auto index = [](std::string_view text) { return in_sriov(fmt::format("vfs: [{{index: {}}}]", text)); };
  for (const auto* good : {"0", "0-3", "65534", "[0, 2-3]", "\"0-3\"", "2-2"})
    EXPECT_THAT(index(good), IsEmpty()) << good;
  for (const auto* bad : {"00", "0-03", "-1", "1-", "a", "65535", "0x1", "0..3", "0-1-2", "\"0, 1\"", "~"}) {
    EXPECT_THAT(index(bad), ElementsAre(HasSubstr("devices.lan0.sriov.vfs[0].index: "))) << bad;
  }
  EXPECT_THAT(index("3-0"), ElementsAre(HasSubstr("'3-0' runs backwards | write 0-3")));
  EXPECT_THAT(index("[]"), ElementsAre(HasSubstr("an empty list")));
  EXPECT_THAT(in_sriov("vfs: [{bind: none}]"), ElementsAre(HasSubstr("index is missing")));
  EXPECT_THAT(in_sriov("vfs: {index: 0}"), ElementsAre(HasSubstr("wanted a list")));
  EXPECT_THAT(in_sriov("vfs: [0-3]"), Contains(HasSubstr("this is no map")));
}

TEST(ConfigReader, NamesBothPlacesOfVfsThatOverlap) {
  EXPECT_THAT(
      in_sriov("vfs:\n      - {index: 4-9}\n      - {index: 0-1}\n      - {index: 8}\n      - {index: [1, 20]}"),
      ElementsAre("host.yaml:11:9: VF 1 of lan0 is described here and at host.yaml:9:9",
                  "host.yaml:10:9: VF 8 of lan0 is described here and at host.yaml:8:9"));
  EXPECT_THAT(in_sriov("numVfs: 4\n      vfs:\n      - {index: 2-4}"),
              ElementsAre("host.yaml:9:9: VF 4 with numVfs 4 at host.yaml:6:5 | the last VF is 3"));
}

TEST(ConfigReader, ChecksMacPatterns) {
  EXPECT_THAT(in_sriov("vfs: [{index: 0-1, mac: 02:11:22:33:44:55}]"),
              ElementsAre(HasSubstr("VFs 0 to 1 cannot all have the address")));
  EXPECT_THAT(in_sriov("vfs: [{index: 255-256, mac: \"02:11:22:33:44:%02x\"}]"),
              ElementsAre(HasSubstr("one for VF 256 is wanted")));
  EXPECT_THAT(in_sriov("vfs: [{index: 0-1, mac: \"%02x:11:22:33:44:55\"}]"), ElementsAre(HasSubstr("multicast")));
  EXPECT_THAT(in_sriov("vfs: [{index: 2, mac: \"%02x:11:22:33:44:55\"}]"), IsEmpty());
  EXPECT_THAT(in_vf("mac: 02:11:22:33:44:%02X"), ElementsAre(HasSubstr("is not a usable MAC address")));
  EXPECT_THAT(in_vf("mac: 00:00:00:00:00:00"), ElementsAre(HasSubstr("all zero")));
}

TEST(ConfigReader, FindsOneAddressOfTwoVfsInAllDevices) {
  EXPECT_THAT(problems_of(R"(devices:
  a: {match: {slot: 1}, sriov: {vfs: [{index: 0-9, mac: "02:11:22:33:44:%02x"}]}}
  b: {match: {slot: 2}, sriov: {vfs: [{index: 3, mac: "02:11:22:33:44:05"}]}}
)"),
              ElementsAre("host.yaml:5:39: MAC address 02:11:22:33:44:05 is described here and at host.yaml:4:39"));
  EXPECT_THAT(problems_of(R"(devices:
  a: {match: {slot: 1}, sriov: {vfs: [{index: 0, guid: {node: 0c:42:a1:03:00:01:02:03, port: 0c:42:a1:03:00:01:02:03}}]}}
  b: {match: {slot: 2}, sriov: {vfs: [{index: 0, guid: {port: 0c:42:a1:03:00:01:02:03}}]}}
)"),
              ElementsAre(HasSubstr("port GUID 0c:42:a1:03:00:01:02:03 is described here and at host.yaml:4:39")));
}

TEST(ConfigReader, FindsWhatOnlyOneVfCanHave) {
  EXPECT_THAT(in_sriov("vfs: [{index: 0-1, guid: {port: 0c:42:a1:03:00:01:02:03}}]"),
              Contains(HasSubstr("cannot all have one GUID")));
  EXPECT_THAT(in_sriov("vfs: [{index: 0-1, bind: host, name: eth9}]"),
              Contains(HasSubstr("cannot all be called eth9")));
  EXPECT_THAT(in_vf("bind: vfio-pci, name: eth9"),
              ElementsAre(HasSubstr("name eth9 of a VF with bind vfio-pci | only a VF with bind host")));
  EXPECT_THAT(in_vf("name: eth9"), ElementsAre(HasSubstr("bind not given")));
  EXPECT_THAT(in_sriov("vfDefaults: {bind: host}\n      vfs: [{index: 0, name: eth9}]"), IsEmpty());
  EXPECT_THAT(in_sriov("vfs: [{index: 0, bind: host, name: eth9}, {index: 1, bind: host, name: eth9}]"),
              ElementsAre(HasSubstr("an interface called eth9")));
}

TEST(ConfigReader, ChecksWhatTravelsTogether) {
  EXPECT_THAT(in_vf("vlan: {qos: 3}"), ElementsAre(HasSubstr("vlan without an id")));
  EXPECT_THAT(in_vf("vlan: {id: 0, qos: 3}"), ElementsAre(HasSubstr("untagged frames have no priority")));
  EXPECT_THAT(in_vf("rate: {min: 5, max: 4}"), ElementsAre(HasSubstr("rate.min 5 is above rate.max 4")));
  EXPECT_THAT(in_vf("rate: {min: 5, max: 0}"), IsEmpty());
  EXPECT_THAT(
      in_sriov("vfDefaults: {vlan: {id: 7}, rate: {max: 4}}\n      vfs: [{index: 0, vlan: {qos: 1}, rate: {min: 5}}]"),
      ElementsAre(HasSubstr("rate.min 5 is above rate.max 4")));
}

TEST(ConfigReader, ChecksDevices) {
  EXPECT_THAT(problems_of("devices: {a: {sriov: {numVfs: 1}}}\n"),
              ElementsAre("host.yaml:3:11: devices.a.match is missing, wanted what tells the card from all others"));
  EXPECT_THAT(in_match(""), ElementsAre(HasSubstr("devices.lan0.match: it names no card | give permanentMac")));
  EXPECT_THAT(in_match("function: 1"), ElementsAre(HasSubstr("function only tells functions of one card apart")));
  EXPECT_THAT(problems_of("devices:\n  a: {match: {slot: 1}, sriov: {numVfs: 1}, passthrough: {}}\n"),
              ElementsAre(HasSubstr("passthrough here and sriov at host.yaml:4:25")));
  EXPECT_THAT(problems_of("devices:\n  b: {match: {slot: \"1\"}}\n  a: {match: {slot: 1}}\n"),
              ElementsAre("host.yaml:4:3: a card with slot 1 is described here and at host.yaml:5:3"));
  EXPECT_THAT(in_passthrough("bind: host, early: initramfs"), ElementsAre(HasSubstr("early with bind host")));
  EXPECT_THAT(in_passthrough("bind: mlx5_vfio_pci, early: initramfs"), IsEmpty());
  EXPECT_THAT(in_vf("pool: vm-lan"),
              ElementsAre(HasSubstr("pool vm-lan is not declared | add it: pools: {vm-lan: {}}")));
  EXPECT_THAT(problems_of("devices:\n  a: {match: {slot: 1}, passthrough: {pool: gpu}}\npools: {gpus: {}}\n"),
              ElementsAre(HasSubstr("did you mean gpus")));
}

TEST(ConfigReader, TellsAllProblemsAtOnceButNotTooMany) {
  EXPECT_THAT(problems_of(R"(defaults: {allowRecreate: yes}
devices:
  Lan: {}
  a: {match: {bdf: x}, sriov: {numVfs: 012, nmVfs: 3, vfs: [{index: 3-0}]}}
)"),
              testing::SizeIs(6));
  std::string many{"devices:\n"};
  for (int i = 0; i < 200; ++i) many += fmt::format("  a{}: {{x: y}}\n", i);
  EXPECT_THAT(problems_of(many), testing::SizeIs(kConfigMostProblems));
}

// ---- several files ----

ConfigProblems problems_of_files(std::vector<std::string> bodies, HostConfig& config) {
  std::vector<ConfigText> texts;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    texts.push_back({fmt::format("{}.yaml", i), std::string{kConfigHead} + bodies[i]});
  }
  ConfigProblems problems;
  config = read_config(texts, problems);
  return problems;
}

TEST(ConfigMerge, PutsDevicesAndPoolsTogether) {
  HostConfig config;
  EXPECT_THAT(problems_of_files(
                  {"devices: {b: {match: {slot: 1}, passthrough: {pool: p}}}\n", "defaults: {allowRecreate: true}\n",
                   "devices: {a: {match: {slot: 2}}}\npools: {p: {}, q: }\n", "pools: {q: {}}\n"},
                  config),
              IsEmpty());
  EXPECT_TRUE(config.allow_recreate);
  ASSERT_EQ(config.devices.size(), 2U);
  EXPECT_EQ(config.devices[0].place, (Place{"2.yaml", 3, 11}));
  EXPECT_EQ(config.devices[1].place, (Place{"0.yaml", 3, 11}));
  EXPECT_EQ(config.pools.at("q").file, "2.yaml");
  EXPECT_THAT(config.files, ElementsAre("0.yaml", "1.yaml", "2.yaml", "3.yaml"));
}

TEST(ConfigMerge, TakesWhatIsSaidTwiceAlike) {
  HostConfig config;
  EXPECT_THAT(problems_of_files(
                  {"devices: {a: {match: {slot: 1}, sriov: {vfs: [{index: 0}]}}}\ndefaults: {allowRecreate: false}\n",
                   "devices:\n  a:\n    sriov: {vfs: [{index: 0}]}\n    match: {slot: \"1\"}\ndefaults: "
                   "{allowRecreate: false}\n"},
                  config),
              IsEmpty());
  EXPECT_EQ(config.devices.at(0).place.file, "0.yaml");
}

TEST(ConfigMerge, NamesBothPlacesOfWhatDiffers) {
  HostConfig config;
  const auto problems =
      problems_of_files({"devices: {a: {match: {slot: 1}}}\ndefaults: {allowRecreate: false}\n",
                         "devices: {a: {match: {slot: 1}, sriov: {numVfs: 1}}}\ndefaults: {allowRecreate: true}\n"},
                        config);
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(as_error(problems[0]).text(),
            "1.yaml:4:27: defaults.allowRecreate is here and at 0.yaml:4:27, and they differ");
  EXPECT_EQ(as_error(problems[1]).text(), "1.yaml:3:11: device a is here and at 0.yaml:3:11, and they differ");
  EXPECT_THAT(as_error(problems).hint(), HasSubstr("`pcivm config validate` tells 1 more"));
}

TEST(ConfigMerge, ChecksAcrossFiles) {
  HostConfig config;
  const auto problems =
      problems_of_files({"devices: {a: {match: {slot: 1}}}\n", "devices: {b: {match: {slot: 1}}}\n"}, config);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(as_error(problems[0]).text(), "1.yaml:3:11: a card with slot 1 is described here and at 0.yaml:3:11");
}

}  // namespace
}  // namespace pcivm::cli
