// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "sriov/host_names.hpp"
#include "tests/fakes/fake_ioctls.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/fakes/fake_vf_port.hpp"
#include "tests/support/random_host.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/binding.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::IsOk;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kNic{"0000:01:00.0"};
const std::string kDrive{"0000:02:00.0"};

Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }

/// A port that also knows addresses that were burnt in.
class AddressedPort final : public VfPort {
 public:
  explicit AddressedPort(VfPort& vfs) : vfs_{&vfs} {}
  Result<std::vector<VfAttributes>> read(int interface) override { return vfs_->read(interface); }
  Result<std::vector<Refusal>> set(int interface, std::span<const VfSetting> settings) override {
    return vfs_->set(interface, settings);
  }
  Result<std::vector<DevlinkMessage>> devlink(const DevlinkMessage& request) override { return vfs_->devlink(request); }
  Result<std::vector<PermanentAddress>> permanent_addresses() override { return addresses; }
  std::vector<PermanentAddress> addresses{};

 private:
  VfPort* vfs_;
};

/// A NIC with VFs, an NVMe drive in a slot and a bridge.
class HostStateTest : public testing::Test {
 protected:
  HostStateTest() {
    kernel_.add_pf(kNic, 7);
    kernel_.add_driver("nvme");
    kernel_.add(kDrive, {.native = "nvme", .driver = "nvme"}, 7, "0x0010");
    kernel_.add("0000:00:1c.0", {.driver = "pcieport"}, 8, "0x1234");
    file("0000:00:1c.0", "class", "0x060400");
    kernel_.refresh("0000:00:1c.0");
    file(kNic, "d3cold_allowed", "1");
    file(kNic, "power/control", "on");
    interface(kNic, "eth1");
    file(kNic, "net/eth1/flags", "0x1003");
    file(kNic, "net/eth1/mtu", "9000");
    file(kNic, "net/eth1/address", "52:54:00:aa:00:01");
    file(kNic, "net/eth1/addr_assign_type", "0");
    kernel_.tree().file("/sys/bus/pci/slots/3/address", "0000:02:00\n");
    drive("nvme0");
    host_.users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> { return std::vector<iommu::InUse>{}; };
  }
  void file(const std::string& function, const std::string& name, const std::string& text) {
    kernel_.tree().file(FakeKernel::device_directory(function) + "/" + name, text + "\n");
  }
  void interface(const std::string& function, const std::string& name) {
    file(function, "net/" + name + "/ifindex", "2");
    kernel_.tree().link("/sys/class/net/" + name, "../../bus/pci/devices/" + function + "/net/" + name);
  }
  void drive(const std::string& name) {
    file(kDrive, "nvme/" + name + "/serial", "DEAD                ");
    file(kDrive, "nvme/" + name + "/subsysnqn", "nqn.2019-08.org.qemu:DEAD");
    file(kDrive, "nvme/" + name + "/firmware_rev", "8.2.1   ");
    kernel_.tree().link("/sys/class/nvme/" + name, "../../bus/pci/devices/" + kDrive + "/nvme/" + name);
  }
  // The kernel makes VFs, and whoever is told so has them.
  void make_vfs(const std::string& count) {
    ASSERT_THAT(kernel_.root().write(FakeKernel::device_directory(kNic) + "/sriov_numvfs", count), IsOk());
  }
  vfio::HostLock lock() { return vfio::HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  HostState read() { return read_host(host_, &port_).value(); }
  FunctionState nic() { return read().functions.at(0); }

  FakeKernel kernel_;
  test::FakeVfPort vfs_{7};
  AddressedPort port_{vfs_};
  vfio::Host host_{.root = kernel_.root(), .users_of = {}};
};

TEST_F(HostStateTest, HasEveryFunctionButBridgesAndVfs) {
  make_vfs("2");
  const auto state = read();
  ASSERT_THAT(state.functions, SizeIs(2));
  EXPECT_EQ(state.functions[0].address, bdf(kNic));
  EXPECT_EQ(state.functions[1].address, bdf(kDrive));
}

TEST_F(HostStateTest, TellsWhatAFunctionIs) {
  const auto function = nic();
  EXPECT_EQ(function.id, (PciId{0x8086, 0x10c9}));
  EXPECT_EQ(function.subsystem, (PciId{0x8086, 0xa04c}));
  EXPECT_EQ(function.class_code, 0x020000U);
  EXPECT_EQ(function.path, "pci-0000:01:00.0");
  EXPECT_EQ(function.netdev, "eth1");
  EXPECT_EQ(function.iommu_group, 6U);
  EXPECT_EQ(function.driver, (vfio::DriverState{"igb", ""}));
  EXPECT_EQ(function.settings, (vfio::Settings{{"reset_method", "flr"}, {"d3cold_allowed", "1"}, {"power/control", "on"}}));
}

TEST_F(HostStateTest, TellsWhatADriveCallsItself) {
  const auto function = read().functions.at(1);
  EXPECT_EQ(function.nvme_serial, "DEAD");
  EXPECT_EQ(function.nvme_nqn, "nqn.2019-08.org.qemu:DEAD");
  EXPECT_EQ(function.firmware, "8.2.1");
  EXPECT_EQ(function.slot, "3");
  EXPECT_FALSE(function.pf);
}

TEST_F(HostStateTest, HasSerialsOfVpdAndCapability) {
  std::string config(4096, '\0');
  config[0x06] = 0x10;
  config[0x100] = 0x03;  // Device Serial Number, version 1, last
  config[0x102] = 0x01;
  for (int i = 0; i < 8; ++i) config[static_cast<std::size_t>(0x104 + i)] = static_cast<char>(i + 1);
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/config", config);
  const std::string vpd{"\x82\x03\x00NIC\x90\x08\x00SN\x05" "SN123\x78", 18};
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/vpd", vpd);
  EXPECT_THAT(nic().serials, ElementsAre("SN123", "08-07-06-05-04-03-02-01"));
}

TEST_F(HostStateTest, ThePermanentAddressIsTheKernelsWord) {
  EXPECT_EQ(nic().permanent_mac, MacAddress::parse("52:54:00:aa:00:01").value());
  port_.addresses = {{.interface = "eth1", .mac = MacAddress::parse("52:54:00:aa:00:99").value()}};
  EXPECT_EQ(nic().permanent_mac, MacAddress::parse("52:54:00:aa:00:99").value());
}

TEST_F(HostStateTest, AnAddressThatWasChangedIsNotTheOneThatWasBurntIn) {
  file(kNic, "net/eth1/addr_assign_type", "3");
  EXPECT_FALSE(nic().permanent_mac);
}

TEST_F(HostStateTest, InfinibandHasAGuidInItsAddress) {
  file(kNic, "net/eth1/address", "80:00:00:67:fe:80:00:00:00:00:00:00:0c:42:a1:03:00:01:02:03");
  EXPECT_EQ(nic().permanent_guid, Guid::parse("0c:42:a1:03:00:01:02:03").value());
  EXPECT_FALSE(nic().permanent_mac);
}

TEST_F(HostStateTest, FirmwareIsWhatTheDriverTells) {
  test::FakeIoctls ioctls;
  host_.ioctls = &ioctls;
  EXPECT_EQ(nic().firmware, "");
  ioctls.on<ifreq>(SIOCETHTOOL, [](ifreq& request) {
    auto& info = *static_cast<ethtool_drvinfo*>(static_cast<void*>(request.ifr_data));
    if (std::string{request.ifr_name} != "eth1" || info.cmd != ETHTOOL_GDRVINFO) return -EINVAL;
    std::memset(info.fw_version, 'x', sizeof info.fw_version);  // without an end
    return 0;
  });
  EXPECT_EQ(nic().firmware, std::string(ETHTOOL_FWVERS_LEN, 'x'));
  ioctls.on<ifreq>(SIOCETHTOOL, [](ifreq& request) {
    std::strcpy(static_cast<ethtool_drvinfo*>(static_cast<void*>(request.ifr_data))->fw_version, "N/A");
    return 0;
  });
  EXPECT_EQ(nic().firmware, "");
}

TEST_F(HostStateTest, TellsAboutThePfAndItsVfs) {
  make_vfs("2");
  vfs_.vfs.resize(2);
  vfs_.vfs[1].vlan = Vlan{.id = 100};
  interface(FakeKernel::vf_name(kNic, 1), "eth1v1");
  const auto pf = nic().pf.value();
  EXPECT_EQ(pf.total_vfs, 7U);
  EXPECT_TRUE(pf.autoprobe);
  EXPECT_EQ(pf.mtu, 9000U);
  EXPECT_EQ(pf.up, true);
  EXPECT_EQ(pf.eswitch, Eswitch{});
  ASSERT_THAT(pf.vfs, SizeIs(2));
  EXPECT_EQ(pf.vfs[1].address.to_string(), FakeKernel::vf_name(kNic, 1));
  EXPECT_EQ(pf.vfs[1].driver, (vfio::DriverState{"igbvf", ""}));
  EXPECT_EQ(pf.vfs[1].attributes.vlan, (Vlan{.id = 100}));
  EXPECT_EQ(pf.vfs[1].netdev, "eth1v1");
  EXPECT_EQ(pf.vfs[0].netdev, "");
}

TEST_F(HostStateTest, TellsTheEswitch) {
  vfs_.devlink_port = [](const DevlinkMessage& request) -> Result<std::vector<DevlinkMessage>> {
    return std::vector<DevlinkMessage>{{.device = request.device, .mode = EswitchMode::legacy, .encap = true}};
  };
  EXPECT_EQ(nic().pf->eswitch, (Eswitch{.mode = EswitchMode::legacy, .encap = true}));
}

TEST_F(HostStateTest, WithoutAPortNothingIsReported) {
  make_vfs("1");
  const auto state = read_host(host_, nullptr);
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->functions[0].pf->vfs.at(0).attributes, VfAttributes{});
}

TEST_F(HostStateTest, RemembersWhoHadAFunctionThatPcivmBound) {
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(kNic)}), IsOk());
  const auto function = nic();
  EXPECT_TRUE(function.bound_by_pcivm);
  EXPECT_EQ(function.native_driver, "igb");
  EXPECT_EQ(function.driver, (vfio::DriverState{"vfio-pci", "vfio-pci"}));
}

TEST_F(HostStateTest, ABindThatWasUndoneByHandIsForgotten) {
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(kNic)}), IsOk());
  kernel_.at(kNic).driver = "igb";
  kernel_.at(kNic).override_name.clear();
  kernel_.refresh(kNic);
  EXPECT_FALSE(nic().bound_by_pcivm);
}

TEST_F(HostStateTest, AFunctionThatAVmBorrowedIsAtItsLenders) {
  kernel_.tree().file(fmt::format("/proc/{}/stat", ::getpid()), "1 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n");
  const auto owner = vfio::Owner::of(kernel_.root(), ::getpid());
  ASSERT_THAT(owner, IsOk());
  ASSERT_THAT(vfio::bind(host_, lock(), {.function = bdf(kNic), .managed = *owner}), IsOk());
  EXPECT_EQ(nic().driver, (vfio::DriverState{"igb", ""}));
  EXPECT_FALSE(nic().bound_by_pcivm);
  kernel_.tree().remove(fmt::format("/proc/{}", ::getpid()));  // it died, and nobody gave the function back
  EXPECT_EQ(nic().driver.driver, "vfio-pci");
  EXPECT_TRUE(nic().bound_by_pcivm);
}

TEST_F(HostStateTest, NamesThatOnlyADriverTellsAreRemembered) {
  const auto before = read();
  ASSERT_THAT(remember_names(kernel_.root(), before), IsOk());
  kernel_.tree().remove("/sys/class/nvme/nvme0");
  kernel_.tree().remove("/sys/class/net/eth1");
  const auto after = read();
  EXPECT_EQ(after.functions[1].nvme_serial, "DEAD");
  EXPECT_EQ(after.functions[1].firmware, "8.2.1");
  EXPECT_EQ(after.functions[0].permanent_mac, before.functions[0].permanent_mac);
  file(kDrive, "device", "0x0011");  // another card
  kernel_.tree().file(FakeKernel::device_directory(kDrive) + "/uevent", "PCI_CLASS=10802\nPCI_ID=8086:0011\nPCI_SUBSYS_ID=8086:A04C\n");
  EXPECT_EQ(read().functions[1].nvme_serial, "");
}

TEST_F(HostStateTest, TellsTheSettingsThatVfsWereMadeWith) {
  make_vfs("1");
  vfio::Record record;
  record.set("identity", vfio::identity_of(kernel_.root(), bdf(kNic)).value());
  record.set("setting.00000", "vq=2");
  ASSERT_THAT(vfio::store(kernel_.root(), "/run/pcivm/adapted/" + kNic, record), IsOk());
  EXPECT_EQ(nic().pf->settings, (Settings{{"vq", "2"}}));
  record.set("identity", "another card");
  ASSERT_THAT(vfio::store(kernel_.root(), "/run/pcivm/adapted/" + kNic, record), IsOk());
  EXPECT_THAT(nic().pf->settings, IsEmpty());
}

TEST(HostStateRead, AHostWithoutPciHasNothing) {
  const test::TempRoot tree;
  const auto root = tree.root();
  const vfio::Host host{.root = root, .users_of = {}};
  EXPECT_THAT(read_host(host, nullptr).value().functions, IsEmpty());
}

// ---- the record ----

HostState without_groups(HostState state) {
  for (auto& function : state.functions) function.iommu_group.reset();
  return state;
}

TEST(HostStateRecord, EveryFieldSurvives) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    test::Chance chance{seed};
    test::RandomHost random{chance};
    auto state = without_groups(random.host.state);
    auto& first = state.functions.front();
    first.permanent_mac = MacAddress{{2, 1, 2, 3, 4, 5}};
    first.permanent_guid = Guid{seed};
    first.firmware = "1.2\n%=3";
    first.slot = "0-1";
    first.is_vf = seed % 2 == 0;
    const auto back = state_in(vfio::Record::parse(to_record(state).serialize()).value());
    ASSERT_THAT(back, IsOk()) << seed;
    ASSERT_EQ(*back, state) << seed;
  }
}

TEST(HostStateRecord, WhatIsCutShortOrChangedIsAnErrorNeverACrash) {
  test::Chance chance{3};
  const test::RandomHost random{chance};
  const auto text = to_record(random.host.state).serialize();
  for (std::size_t length = 0; length < text.size(); ++length) {
    ASSERT_THAT(vfio::Record::parse(text.substr(0, length)), FailsWith(Errc::invalid)) << length;
  }
}

TEST(HostStateRecord, AKeyThatIsMissingOrRubbishIsAnErrorNeverACrash) {
  test::Chance chance{2};
  const test::RandomHost random{chance};
  const auto whole = to_record(random.host.state);
  unsigned errors{};
  for (const auto& [left_out, value] : whole.fields()) {
    vfio::Record without;
    auto with_rubbish = whole;
    for (const auto& [key, each] : whole.fields()) {
      if (key != left_out) without.set(key, each);
    }
    with_rubbish.set(left_out, "\x01rubbish");
    errors += state_in(without) ? 0U : 1U;
    (void)state_in(with_rubbish);
    with_rubbish.set(left_out, "4294967295");
    (void)state_in(with_rubbish);
  }
  EXPECT_GT(errors, whole.fields().size() / 2);
}

// ---- addresses by netlink ----

// Built byte by byte, without libnl.
template <class T>
void add(std::vector<std::byte>& bytes, const T& item) {
  const auto* raw = static_cast<const std::byte*>(static_cast<const void*>(&item));
  bytes.insert(bytes.end(), raw, raw + sizeof item);
}

void add_attribute(std::vector<std::byte>& bytes, std::uint16_t type, std::span<const std::uint8_t> payload) {
  add(bytes, static_cast<std::uint16_t>(4 + payload.size()));
  add(bytes, type);
  for (const auto octet : payload) add(bytes, octet);
  while (bytes.size() % 4 != 0) bytes.push_back(std::byte{});
}

std::vector<std::byte> link_message(std::span<const std::uint8_t> address, std::uint32_t sequence) {
  std::vector<std::byte> body;
  add(body, ifinfomsg{});
  constexpr std::array<std::uint8_t, 5> kName{'e', 't', 'h', '1', 0};
  constexpr std::uint16_t kPermanentAddress{54};
  add_attribute(body, IFLA_IFNAME, kName);
  add_attribute(body, kPermanentAddress, address);
  std::vector<std::byte> message;
  add(message, nlmsghdr{.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) + body.size()),
                        .nlmsg_type = RTM_NEWLINK,
                        .nlmsg_flags = 0,
                        .nlmsg_seq = sequence,
                        .nlmsg_pid = 0});
  message.insert(message.end(), body.begin(), body.end());
  return message;
}

TEST(LinkMessage, ReadsPermanentAddresses) {
  const std::vector<std::uint8_t> mac{0x52, 0x54, 0, 0xaa, 0, 1};
  const auto reply = decode_links(link_message(mac, 7), 7);
  ASSERT_THAT(reply, IsOk());
  EXPECT_FALSE(reply->complete);
  EXPECT_THAT(reply->links, ElementsAre(PermanentAddress{
                                .interface = "eth1", .mac = MacAddress::parse("52:54:00:aa:00:01").value()}));
  EXPECT_THAT(decode_links(link_message(mac, 8), 7)->links, IsEmpty());
}

TEST(LinkMessage, ReadsGuidsOfInfiniband) {
  std::vector<std::uint8_t> address(20);
  address[12] = 0x0c;
  address[19] = 0x03;
  const auto reply = decode_links(link_message(address, 7), 7);
  ASSERT_THAT(reply->links, SizeIs(1));
  EXPECT_EQ(reply->links[0].guid, Guid::parse("0c:00:00:00:00:00:00:03").value());
}

TEST(LinkMessage, SkipsWhatIsNoAddress) {
  for (const std::size_t size : {0U, 1U, 5U, 7U, 19U, 21U, 32U}) {
    EXPECT_THAT(decode_links(link_message(std::vector<std::uint8_t>(size, 1), 7), 7)->links, IsEmpty()) << size;
  }
  EXPECT_THAT(decode_links(link_message(std::vector<std::uint8_t>(6), 7), 7)->links, IsEmpty());
}

TEST(LinkMessage, WhatIsCutShortIsAnErrorOrTellsNothing) {
  const std::vector<std::uint8_t> mac{0x52, 0x54, 0, 0xaa, 0, 1};
  const auto whole = link_message(mac, 7);
  for (std::size_t length = 1; length < whole.size(); ++length) {
    EXPECT_THAT(decode_links(std::span{whole}.first(length), 7), FailsWith(Errc::invalid)) << length;
  }
}

}  // namespace
}  // namespace pcivm::sriov
