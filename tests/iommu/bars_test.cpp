// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/bars.hpp"

#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <string>

#include "tests/support/fake_pci.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::iommu {
namespace {

using test::FakePci;
using test::TempRoot;

/// Configuration space with capabilities of any links.
class MsixRegistersTest : public testing::Test {
 protected:
  MsixRegistersTest() { pci_.function({.address = kName, .group = 1}); }
  std::optional<Msix> read() {
    root_.file(FakePci::device(kName) + "/config", image_);
    return read_msix(root_.root(), Bdf::parse(kName).value());
  }
  void capability(unsigned at, std::uint8_t id, std::uint8_t next) {
    image_[at] = static_cast<char>(id);
    image_[at + 1] = static_cast<char>(next);
  }
  void list(std::uint8_t first) {
    image_[PCI_STATUS] = PCI_STATUS_CAP_LIST;
    image_[PCI_CAPABILITY_LIST] = static_cast<char>(first);
  }

  static constexpr auto kName = "0000:01:00.0";
  TempRoot root_;
  FakePci pci_{root_};
  std::string image_ = std::string(256, '\0');
};

TEST_F(MsixRegistersTest, AreFoundInTheList) {
  list(0x40);
  capability(0x40, PCI_CAP_ID_PM, 0x73);
  capability(0x70, PCI_CAP_ID_MSIX, 0xa0);
  image_[0x72] = 0x5b;
  image_[0x75] = 0x20;
  image_[0x74] = 0x03;
  image_[0x79] = 0x30;
  image_[0x78] = 0x04;
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->entries, 92U);
  EXPECT_EQ(found->place.table_bar, 3U);
  EXPECT_EQ(found->place.table_offset, 0x2000U);
  EXPECT_EQ(found->place.pba_bar, 4U);
  EXPECT_EQ(found->place.pba_offset, 0x3000U);
}

TEST_F(MsixRegistersTest, AreAbsentWithoutTheCapabilityOrAList) {
  EXPECT_FALSE(read());
  capability(0x40, PCI_CAP_ID_MSIX, 0);
  image_[PCI_CAPABILITY_LIST] = 0x40;
  EXPECT_FALSE(read()) << "the status says that there is no list";
  list(0x50);
  EXPECT_FALSE(read());
}

TEST_F(MsixRegistersTest, AListWithoutAnEndHasNone) {
  list(0x40);
  capability(0x40, PCI_CAP_ID_PM, 0x50);
  capability(0x50, PCI_CAP_ID_EXP, 0x40);
  EXPECT_FALSE(read());
}

TEST_F(MsixRegistersTest, AreAbsentWhereTheFileEnds) {
  list(0x40);
  capability(0x40, PCI_CAP_ID_PM, 0xfc);
  capability(0xfc, PCI_CAP_ID_MSIX, 0);
  EXPECT_FALSE(read()) << "half of it";
  image_.resize(64);
  EXPECT_FALSE(read()) << "what is not root reads no more";
  image_.assign(256, '\xff');
  EXPECT_FALSE(read()) << "a function that is gone";
}

TEST_F(MsixRegistersTest, AreAbsentOfAnAbsentFunction) {
  EXPECT_FALSE(read_msix(root_.root(), Bdf::parse("0000:09:00.0").value()));
}

}  // namespace
}  // namespace pcivm::iommu
