// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/pci_names.hpp"

#include <gtest/gtest.h>

#include "tests/support/temp_root.hpp"

namespace pcivm::iommu {
namespace {

TEST(PciNames, ReadsVendorsDevicesAndClasses) {
  const test::TempRoot temp;
  temp.file("/pci.ids",
            "8086  Intel Corporation\n\t10ca  82576 Virtual Function\nC 01  Mass storage\n\t08  Non-Volatile\n");
  const auto names = PciNames::open(temp.path("/pci.ids").string());
  EXPECT_EQ(names.vendor(0x8086), "Intel Corporation");
  EXPECT_EQ(names.device(0x8086, 0x10ca), "82576 Virtual Function");
  EXPECT_EQ(names.class_name(0x010802), "Non-Volatile");
  EXPECT_EQ(names.device(0x8086, 0xffff), "");
  EXPECT_EQ(names.vendor(0x1234), "");
}

TEST(PciNames, AMissingDatabaseNamesNothing) {
  const auto names = PciNames::open("/nonexistent/pci.ids");
  EXPECT_EQ(names.vendor(0x8086), "");
  EXPECT_EQ(names.class_name(0x020000), "");
}

TEST(PciNames, ADamagedDatabaseDoesNotEndTheProcess) {
  const test::TempRoot temp;
  temp.file("/pci.ids", "8086  Intel Corporation\nthis is no database\n\t\t\t\n");
  const auto names = PciNames::open(temp.path("/pci.ids").string());
  EXPECT_EQ(names.vendor(0x1234), "");
}

TEST(PciNames, ShortensVendors) {
  EXPECT_EQ(short_vendor("Intel Corporation"), "Intel");
  EXPECT_EQ(short_vendor("Advanced Micro Devices, Inc. [AMD/ATI]"), "AMD/ATI");
  EXPECT_EQ(short_vendor("Red Hat, Inc."), "Red Hat");
  EXPECT_EQ(short_vendor(""), "");
  EXPECT_EQ(short_vendor("[]"), "[]");
}

TEST(PciNames, HasAWordForEveryClass) {
  EXPECT_EQ(short_class(0x010802), "nvme");
  EXPECT_EQ(short_class(0x020000), "net");
  EXPECT_EQ(short_class(0x028000), "net");
  EXPECT_EQ(short_class(0xff0000), "other");
  EXPECT_EQ(short_class(0x7f0000), "other");
}

}  // namespace
}  // namespace pcivm::iommu
