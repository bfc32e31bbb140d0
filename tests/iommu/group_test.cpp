// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/group.hpp"

#include <gmock/gmock.h>

#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::iommu {
namespace {

using test::FailsWith;
using test::FakePci;
using test::IsOkAnd;
using test::TempRoot;
using testing::HasSubstr;
using testing::IsEmpty;

class Groups : public testing::Test {
 protected:
  TempRoot temp;
  FakePci pci{temp};
  SysRoot root{temp.root()};
};

TEST_F(Groups, ANativeDriverBlocks) {
  pci.function({.address = "0000:02:00.0", .driver = "vfio-pci", .group = 5});
  pci.function({.address = "0000:02:00.1", .driver = "e1000e", .group = 5});
  const auto group = read_group(root, 5).value();
  EXPECT_FALSE(group.viable());
  ASSERT_EQ(group.members.size(), 2U);
  EXPECT_EQ(group.members[0].role, Role::managed);
  EXPECT_EQ(group.members[1].role, Role::blocks);
}

TEST_F(Groups, BridgesStubsAndUnboundFunctionsDoNotBlock) {
  pci.function({.address = "0000:00:01.0", .class_code = 0x060400, .driver = "pcieport", .group = 5});
  pci.function({.address = "0000:02:00.0", .driver = "pci-stub", .group = 5});
  pci.function({.address = "0000:02:00.1", .driver = "mlx5_vfio_pci", .group = 5});
  pci.function({.address = "0000:02:00.2", .group = 5});
  EXPECT_TRUE(read_group(root, 5).value().viable());
}

TEST_F(Groups, ReadsTypeAndReservedRegions) {
  pci.function({.address = "0000:02:00.0", .group = 5});
  const auto group = read_group(root, 5).value();
  EXPECT_EQ(group.type, "DMA");
  ASSERT_EQ(group.reserved.size(), 1U);
  EXPECT_EQ(group.reserved[0].first, Iova{0xfee00000});
  EXPECT_EQ(group.reserved[0].last, Iova{0xfeefffff});
  EXPECT_EQ(group.reserved[0].type, "msi");
}

TEST_F(Groups, SortsByNumberNotByText) {
  pci.function({.address = "0000:02:00.0", .group = 10});
  pci.function({.address = "0000:03:00.0", .group = 9});
  const auto all = groups(root).value();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].number, 9U);
}

TEST_F(Groups, NoIommuGivesNoGroups) { EXPECT_THAT(groups(root), IsOkAnd(IsEmpty())); }

TEST_F(Groups, SaysWhichGroupIsAbsent) {
  EXPECT_THAT(read_group(root, 77), FailsWith(Errc::not_found, HasSubstr("77")));
}

}  // namespace
}  // namespace pcivm::iommu
