// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/device_record.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>

#include <cstring>

#include <gmock/gmock.h>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::iommu {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class Told : public testing::Test {
 protected:
  Told() {
    pci_.function({.address = "0000:01:00.0", .driver = "igb"});
    function_.address = Bdf::parse("0000:01:00.0").value();
  }
  void file(std::string_view name, std::string_view text) const {
    temp_.file(test::FakePci::device("0000:01:00.0") + "/" + std::string{name}, text);
  }
  [[nodiscard]] DeviceRecord record() const {
    return read_record(temp_.root(), function_, std::chrono::milliseconds{1'000});
  }
  test::TempRoot temp_;
  test::FakePci pci_{temp_};
  FunctionDetail function_{};
};

TEST_F(Told, NothingIsKnownOfAFunctionWithoutFiles) {
  const auto found = record();
  EXPECT_FALSE(found.vpd || found.acpi_index || found.ari || found.d3cold_allowed || found.errors);
  EXPECT_THAT(found.vpd_missing, IsEmpty());  // a function without product data lacks nothing
  EXPECT_THAT(found.label, IsEmpty());
  EXPECT_THAT(found.netdevs, IsEmpty());
}

TEST_F(Told, SwitchesAndPower) {
  file("label", "Embedded NIC 1\n");
  file("acpi_index", "3\n");
  file("ari_enabled", "0\n");
  file("d3cold_allowed", "1\n");
  file("power/runtime_status", "suspended\n");
  file("power/control", "auto\n");
  const auto found = record();
  EXPECT_EQ(found.label, "Embedded NIC 1");
  EXPECT_EQ(found.acpi_index, 3U);
  EXPECT_EQ(found.ari, false);
  EXPECT_EQ(found.d3cold_allowed, true);
  EXPECT_EQ(found.runtime_status, "suspended");
  EXPECT_EQ(found.power_control, "auto");
}

TEST_F(Told, ErrorsAreTheTotalsOfAllThreeFiles) {
  file("aer_dev_correctable", "RxErr 1\nBadTLP 2\nTOTAL_ERR_COR 3\n");
  file("aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 4\n");
  EXPECT_FALSE(record().errors);  // a part would read as "no others"
  file("aer_dev_fatal", "TOTAL_ERR_FATAL 5\n");
  const auto found = record().errors;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->correctable, 3U);
  EXPECT_EQ(found->nonfatal, 4U);
  EXPECT_EQ(found->fatal, 5U);
}

TEST_F(Told, AnInterfaceWithItsQueues) {
  pci_.netdev("0000:01:00.0", "eth0", "02:00:00:00:00:07");
  const std::string directory{"/sys/class/net/eth0"};
  temp_.file(directory + "/operstate", "down\n");
  temp_.file(directory + "/mtu", "9000\n");
  temp_.file(directory + "/speed", "-1\n");  // no link
  for (const auto* queue : {"rx-0", "rx-1", "tx-0"}) temp_.directory(directory + "/queues/" + queue);
  function_.netdevs = {"eth0"};
  const auto found = record().netdevs;
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].mac, "02:00:00:00:00:07");
  EXPECT_EQ(found[0].state, "down");
  EXPECT_EQ(found[0].mtu, 9000U);
  EXPECT_FALSE(found[0].speed);
  EXPECT_EQ(found[0].receive_queues, 2U);
  EXPECT_EQ(found[0].transmit_queues, 1U);
}

TEST_F(Told, DisksAndDrivesWithoutTheirPadding) {
  pci_.disk("0000:01:00.0", "nvme0n1", "259:0");
  temp_.file("/sys/class/block/nvme0n1/size", "2048\n");
  temp_.file("/sys/class/block/nvme0n1/device/model", "Fast Drive          \n");
  temp_.directory("/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0");
  temp_.link("/sys/class/nvme/nvme0", "../../devices/pci0000:00/0000:01:00.0/nvme/nvme0");
  temp_.file("/sys/class/nvme/nvme0/serial", "S123    \n");
  temp_.file("/sys/class/nvme/nvme0/state", "live\n");
  function_.block_devices = {"nvme0n1"};
  const auto found = record();
  ASSERT_THAT(found.disks, SizeIs(1));
  EXPECT_EQ(found.disks[0].size, 1U << 20U);
  EXPECT_EQ(found.disks[0].model, "Fast Drive");
  ASSERT_THAT(found.nvme, SizeIs(1));
  EXPECT_EQ(found.nvme[0].name, "nvme0");
  EXPECT_EQ(found.nvme[0].serial, "S123");
  EXPECT_EQ(found.nvme[0].state, "live");
}

// What a driver answers to ETHTOOL_GPERMADDR: `size` bytes, each as given.
std::string permanent(std::uint32_t size, std::uint8_t byte) {
  test::FakeIoctls kernel;
  kernel.on<ifreq>(SIOCETHTOOL, [&](ifreq& request) {
    EXPECT_STREQ(request.ifr_name, "eth0");
    auto* asked = static_cast<ethtool_perm_addr*>(static_cast<void*>(request.ifr_data));
    EXPECT_EQ(asked->cmd, static_cast<std::uint32_t>(ETHTOOL_GPERMADDR));
    EXPECT_GE(asked->size, size);
    asked->size = size;
    std::memset(asked->data, byte, size);
    return 0;
  });
  return permanent_mac(kernel, "eth0");
}

TEST(PermanentMac, IsWhatTheDriverSays) {
  EXPECT_EQ(permanent(6, 0x52), "52:52:52:52:52:52");
  EXPECT_EQ(permanent(6, 0), "");      // of a virtual interface
  EXPECT_EQ(permanent(20, 0x52), "");  // InfiniBand
  EXPECT_EQ(permanent(0, 0), "");
}

TEST(PermanentMac, IsNotKnownWhereTheDriverRefusesOrTheNameIsNone) {
  test::FakeIoctls kernel;
  kernel.always(SIOCETHTOOL, -EOPNOTSUPP);
  EXPECT_EQ(permanent_mac(kernel, "eth0"), "");
  EXPECT_EQ(kernel.count(SIOCETHTOOL), 1U);
  EXPECT_EQ(permanent_mac(kernel, "a-name-of-more-than-fifteen-letters"), "");
  EXPECT_EQ(kernel.count(SIOCETHTOOL), 1U);
}

}  // namespace
}  // namespace pcivm::iommu
