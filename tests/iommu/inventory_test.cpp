// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/inventory.hpp"

#include <gmock/gmock.h>

#include "iommu/bars.hpp"
#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::iommu {
namespace {

using test::FailsWith;
using test::FakePci;
using test::IsOkAnd;
using test::TempRoot;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

Bdf bdf(std::string_view text) { return Bdf::parse(text).value(); }

/// An igb PF at 01:00.0 with two VFs, and an unbound edu device without IOMMU group.
class Inventory : public testing::Test {
 protected:
  Inventory() {
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    pci.vf("0000:01:00.0", 0, "0000:01:10.0", 9);
    pci.vf("0000:01:00.0", 1, "0000:01:10.2", 10);
    pci.function({.address = "0000:00:03.0",
                  .vendor = 0x1234,
                  .device = 0x11e8,
                  .class_code = 0x00ff00,
                  .group = {},
                  .reset_method = ""});
  }
  TempRoot temp;
  FakePci pci{temp};
  SysRoot root{temp.root()};
};

TEST_F(Inventory, ListsByAddressWithDriverGroupAndPhysicalFunction) {
  const auto functions = list(root).value();
  ASSERT_EQ(functions.size(), 4U);
  EXPECT_EQ(functions[0].address, bdf("0000:00:03.0"));
  EXPECT_EQ(functions[0].iommu_group, std::nullopt);
  EXPECT_EQ(functions[0].driver, "");
  EXPECT_EQ(functions[1].driver, "igb");
  EXPECT_EQ(functions[1].vendor, 0x8086);
  EXPECT_EQ(functions[1].device, 0x10c9);
  EXPECT_EQ(functions[1].subsystem_device, 0xa03c);
  EXPECT_EQ(functions[1].class_code, 0x020000U);
  EXPECT_EQ(functions[1].iommu_group, 6U);
  EXPECT_FALSE(functions[1].is_vf());
  EXPECT_EQ(functions[2].physfn, bdf("0000:01:00.0"));
}

TEST_F(Inventory, IsEmptyOnAHostWithoutPci) {
  const TempRoot bare;
  EXPECT_THAT(list(bare.root()), IsOkAnd(IsEmpty()));
}

TEST_F(Inventory, SaysWhichFunctionIsAbsent) {
  EXPECT_THAT(read_function(root, bdf("0000:05:00.0")), FailsWith(Errc::not_found, HasSubstr("0000:05:00.0")));
}

TEST_F(Inventory, ReadsTheFullRecordOfAPhysicalFunction) {
  const auto function = read_function(root, bdf("0000:01:00.0")).value();
  ASSERT_TRUE(function.sriov.has_value());
  EXPECT_EQ(function.sriov->total_vfs, 7);
  EXPECT_EQ(function.sriov->num_vfs, 2);
  EXPECT_TRUE(function.sriov->autoprobe);
  EXPECT_THAT(function.reset_methods, ElementsAre("flr"));
  EXPECT_EQ(function.driver_override, "");
  EXPECT_EQ(function.numa_node, std::nullopt);
  EXPECT_EQ(function.power_state, "D0");
}

TEST_F(Inventory, NumbersAVirtualFunctionWithinItsPhysicalOne) {
  EXPECT_EQ(read_function(root, bdf("0000:01:10.2")).value().vf_index, 1);
  EXPECT_EQ(read_function(root, bdf("0000:01:00.0")).value().vf_index, std::nullopt);
}

TEST_F(Inventory, OrdersVirtualFunctionsByNumberNotByText) {
  for (unsigned index = 2; index <= 10; ++index) {
    pci.vf("0000:01:00.0", index, fmt::format("0000:02:{:02x}.0", index), 20 + index);
  }
  const auto found = virtual_functions(root, bdf("0000:01:00.0")).value();
  ASSERT_EQ(found.size(), 11U);
  EXPECT_EQ(found[2], bdf("0000:02:02.0"));
  EXPECT_EQ(found[10], bdf("0000:02:0a.0"));
}

TEST_F(Inventory, TellsMemoryFromPortsAnd64BitBars) {
  const auto bars = read_bars(root, bdf("0000:01:00.0")).value();
  EXPECT_THAT(read_bars(root, bdf("0000:09:00.0")), FailsWith(Errc::not_found));
  ASSERT_EQ(bars.size(), 3U);
  EXPECT_EQ(bars[0].size, 0x20000U);
  EXPECT_FALSE(bars[0].io);
  EXPECT_TRUE(bars[1].io);
  EXPECT_EQ(bars[1].index, 2);
  EXPECT_TRUE(bars[2].wide);
  EXPECT_TRUE(bars[2].prefetchable);
  EXPECT_EQ(bars[2].address, 0x800000000000U);
}

TEST_F(Inventory, CountsInterruptVectorsOnlyWhenCapabilitiesAreReadable) {
  std::string config(256, '\0');
  config[0x06] = 0x10;  // status: capability list
  config[0x34] = 0x70;
  config[0x70] = 0x11;  // MSI-X, last
  config[0x72] = 9;     // table size - 1
  temp.file(FakePci::device("0000:01:00.0") + "/config", config);
  EXPECT_EQ(read_function(root, bdf("0000:01:00.0")).value().msix_vectors, 10U);
  EXPECT_EQ(read_function(root, bdf("0000:01:00.0")).value().msi_vectors, 0U);
  temp.file(FakePci::device("0000:01:00.0") + "/config", config.substr(0, 64));
  EXPECT_EQ(read_function(root, bdf("0000:01:00.0")).value().msix_vectors, std::nullopt);
}

TEST_F(Inventory, TakesBridgesFromTheHeaderTypeNotTheClass) {
  pci.function({.address = "0000:00:01.0", .class_code = 0x060400, .driver = "pcieport"});
  EXPECT_TRUE(find(root, bdf("0000:00:01.0")).value().is_bridge);
  std::string config(64, '\0');
  config[0x0e] = '\x80';  // normal header, multifunction
  temp.file(FakePci::device("0000:00:01.0") + "/config", config);
  EXPECT_FALSE(read_function(root, bdf("0000:00:01.0")).value().is_bridge);
}

TEST_F(Inventory, FindsInterfacesAndDisksOfAFunction) {
  pci.netdev("0000:01:00.0", "eth2");
  pci.disk("0000:00:03.0", "nvme0n1", "259:0");
  pci.partition("0000:00:03.0", "nvme0n1", "nvme0n1p1", "259:1");
  EXPECT_THAT(read_function(root, bdf("0000:01:00.0")).value().netdevs, ElementsAre("eth2"));
  EXPECT_THAT(read_function(root, bdf("0000:00:03.0")).value().block_devices, ElementsAre("nvme0n1"));
}

TEST_F(Inventory, NamesTheHeadOfAMultipathNamespace) {
  pci.disk("0000:00:03.0", "nvme0c0n1", "259:7");
  EXPECT_THAT(read_function(root, bdf("0000:00:03.0")).value().block_devices, ElementsAre("nvme0n1"));
}

}  // namespace
}  // namespace pcivm::iommu
