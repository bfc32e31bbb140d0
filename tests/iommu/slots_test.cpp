// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/slots.hpp"

#include <gtest/gtest.h>

#include "tests/support/temp_root.hpp"

namespace pcivm::iommu {
namespace {

std::string slot_of(const test::TempRoot& temp, std::string_view address) {
  return PhysicalSlots::read(temp.root()).of(Bdf::parse(address).value());
}

TEST(PhysicalSlots, HoldAllFunctionsOfADevice) {
  const test::TempRoot temp;
  temp.file("/sys/bus/pci/slots/3/address", "0000:3b:00\n");
  temp.file("/sys/bus/pci/slots/4/address", "0001:3b:00\n");
  EXPECT_EQ(slot_of(temp, "0000:3b:00.0"), "3");
  EXPECT_EQ(slot_of(temp, "0000:3b:00.7"), "3");
  EXPECT_EQ(slot_of(temp, "0001:3b:00.0"), "4");
  EXPECT_EQ(slot_of(temp, "0000:3b:01.0"), "");
}

TEST(PhysicalSlots, MayBeAWholeBus) {
  const test::TempRoot temp;
  temp.file("/sys/bus/pci/slots/C5/address", "0000:41\n");
  EXPECT_EQ(slot_of(temp, "0000:41:1f.2"), "C5");
  EXPECT_EQ(slot_of(temp, "0000:42:00.0"), "");
}

TEST(PhysicalSlots, AreNoneWhereNothingIsKnown) {
  const test::TempRoot temp;
  EXPECT_EQ(slot_of(temp, "0000:41:00.0"), "");
  temp.file("/sys/bus/pci/slots/x/address", "rubbish\n");
  temp.directory("/sys/bus/pci/slots/y");
  EXPECT_EQ(slot_of(temp, "0000:41:00.0"), "");
}

}  // namespace
}  // namespace pcivm::iommu
