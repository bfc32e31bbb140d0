// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/config_facts.hpp"

#include <linux/pci_regs.h>

#include <array>
#include <random>

#include <gmock/gmock.h>

#include "base/pci_config.hpp"

namespace pcivm::iommu {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kResources =
    "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n"
    "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
    "0x0000800000000000 0x00008000ffffffff 0x000000000014220c\n"
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    "0x00000000fea00000 0x00000000fea0ffff 0x0000000000046200\n"
    "0x0000000090000000 0x000000009001ffff 0x000000000014220c\n";

/// A function whose capabilities stand one behind the other, as they are added.
class Image {
 public:
  Image() { put(PCI_STATUS, 2, PCI_STATUS_CAP_LIST); }

  void put(std::size_t offset, unsigned width, std::uint32_t value) {
    config_store(std::span{bytes_}, offset, width, value);
  }
  /// Where it stands.
  std::size_t add(std::uint8_t capability, std::size_t length) {
    put(last_, 1, static_cast<std::uint32_t>(next_));
    put(next_, 1, capability);
    last_ = next_ + 1;
    return std::exchange(next_, next_ + length);
  }
  std::size_t add_extended(std::uint16_t capability, std::size_t length) {
    const auto place = next_extended_;
    if (place != kExtended) put(last_extended_ + 2, 2, static_cast<std::uint32_t>(place << 4U));
    put(place, 4, capability);
    last_extended_ = place;
    next_extended_ += length;
    return place;
  }
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t count = 4096) const {
    return std::span{bytes_}.first(count);
  }

 private:
  static constexpr std::size_t kExtended = 0x100;
  std::array<std::byte, 4096> bytes_{};
  std::size_t next_{0x40};
  std::size_t last_{PCI_CAPABILITY_LIST};
  std::size_t next_extended_{kExtended};
  std::size_t last_extended_{};
};

FunctionDetail of(const Image& image, std::size_t count = 4096) {
  FunctionDetail function;
  function.sriov = Sriov{};
  apply_resources(kResources, function);
  apply_config(image.bytes(count), function);
  return function;
}

TEST(ConfigFacts, ReadsTheKindsOfBars) {
  FunctionDetail function;
  apply_resources(kResources, function);
  ASSERT_THAT(function.bars, SizeIs(4));
  const auto& [memory, io, large, rom] = std::tie(function.bars[0], function.bars[1], function.bars[2], function.bars[3]);
  EXPECT_EQ(memory.size, 0x20000U);
  EXPECT_FALSE(memory.io || memory.wide || memory.prefetchable);
  EXPECT_TRUE(io.io);
  EXPECT_EQ(io.size, 0x20U);
  EXPECT_TRUE(large.wide && large.prefetchable);
  EXPECT_EQ(large.size, std::uint64_t{1} << 32U);
  EXPECT_EQ(rom.index, 6);
}

TEST(ConfigFacts, LinesThatAreNoBarsAreLeftOut) {
  FunctionDetail function;
  apply_resources("0xfe800000 0xfe7fffff 0x40200\nfe800000 fe81ffff 40200\n\n0x1000 0x1fff 0x0\nnonsense", function);
  EXPECT_THAT(function.bars, IsEmpty());
}

TEST(ConfigFacts, CountsVectorsAndFindsTheirTable) {
  Image image;
  image.put(image.add(PCI_CAP_ID_MSI, 0x18) + PCI_MSI_FLAGS, 2, 3U << 1U);
  const auto msix = image.add(PCI_CAP_ID_MSIX, 0x0c);
  image.put(msix + PCI_MSIX_FLAGS, 2, 0xc000U | 63U);  // enabled and masked, which is no part of the number
  image.put(msix + PCI_MSIX_TABLE, 4, 0x2000U | 3U);
  image.put(msix + PCI_MSIX_PBA, 4, 0x3000U | 4U);
  const auto function = of(image);
  EXPECT_EQ(function.msi_vectors, 8U);
  EXPECT_EQ(function.msix_vectors, 64U);
  ASSERT_TRUE(function.msix);
  EXPECT_EQ(function.msix->table_bar, 3);
  EXPECT_EQ(function.msix->table_offset, 0x2000U);
  EXPECT_EQ(function.msix->pba_bar, 4);
  EXPECT_EQ(function.msix->pba_offset, 0x3000U);
  EXPECT_EQ(of(Image{}).msi_vectors, 0U);
}

TEST(ConfigFacts, ComparesTheLinkWithWhatTheFunctionCanDo) {
  Image image;
  const auto express = image.add(PCI_CAP_ID_EXP, 0x3c);
  image.put(express + PCI_EXP_FLAGS, 2, 2);  // version 2, endpoint
  image.put(express + PCI_EXP_LNKCAP, 4, 16U << 4U | 3U);
  image.put(express + PCI_EXP_LNKCAP2, 4, 0x3eU);  // 2.5 to 32
  image.put(express + PCI_EXP_LNKSTA, 2, 8U << 4U | 4U);
  const auto function = of(image);
  EXPECT_EQ(function.pcie_type, "endpoint");
  ASSERT_TRUE(function.link);
  EXPECT_EQ(function.link->speed, "16.0 GT/s PCIe");
  EXPECT_EQ(function.link->max_speed, "32.0 GT/s PCIe");
  EXPECT_EQ(function.link->width, 8U);
  EXPECT_TRUE(function.link->below_capability());

  image.put(express + PCI_EXP_FLAGS, 2, 1);  // version 1: the highest speed alone
  EXPECT_EQ(of(image).link->max_speed, "8.0 GT/s PCIe");
  image.put(express + PCI_EXP_LNKSTA, 2, 0);  // a VF
  EXPECT_FALSE(of(image).link);
  image.put(express + PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_RC_END << 4U | 2U);
  EXPECT_EQ(of(image).pcie_type, "integrated endpoint");
}

TEST(ConfigFacts, SpeedsAreOrderedAsNumbers) {
  const auto below = [](std::string now, std::string able) {
    return Link{.speed = std::move(now), .width = 4, .max_speed = std::move(able), .max_width = 4}.below_capability();
  };
  EXPECT_TRUE(below("8.0 GT/s PCIe", "16.0 GT/s PCIe"));
  EXPECT_TRUE(below("2.5 GT/s PCIe", "5.0 GT/s PCIe"));
  EXPECT_FALSE(below("16.0 GT/s PCIe", "16.0 GT/s PCIe"));
  EXPECT_FALSE(below("16.0 GT/s PCIe", ""));
}

TEST(ConfigFacts, ListsTheSizesThatABarCanBeGiven) {
  Image image;
  const auto rebar = image.add_extended(PCI_EXT_CAP_ID_REBAR, 0x18);
  image.put(rebar + PCI_REBAR_CAP, 4, 0x30U);            // 1 and 2 MiB
  image.put(rebar + PCI_REBAR_CTRL, 4, 2U << 5U | 0U);   // two pairs, this one for BAR 0
  image.put(rebar + PCI_REBAR_CAP + 8, 4, 1U << 31U);    // 128 TiB
  image.put(rebar + PCI_REBAR_CTRL + 8, 4, 1U << 16U | 2U);  // and the next: 256 TiB, BAR 2
  const auto function = of(image);
  EXPECT_THAT(function.bars[0].sizes, ElementsAre(1U << 20U, 2U << 20U));
  EXPECT_THAT(function.bars[1].sizes, IsEmpty());
  EXPECT_THAT(function.bars[2].sizes, ElementsAre(std::uint64_t{1} << 47U, std::uint64_t{1} << 48U));
}

TEST(ConfigFacts, DividesTheRoomOfVfsByTheirNumber) {
  Image image;
  const auto sriov = image.add_extended(PCI_EXT_CAP_ID_SRIOV, 0x40);
  image.put(sriov + PCI_SRIOV_TOTAL_VF, 2, 8);
  image.put(sriov + PCI_SRIOV_VF_OFFSET, 2, 0x80);
  image.put(sriov + PCI_SRIOV_VF_STRIDE, 2, 2);
  image.put(sriov + PCI_SRIOV_VF_DID, 2, 0x10ca);
  const auto function = of(image);
  EXPECT_EQ(function.sriov->hardware_vfs, 8);
  EXPECT_EQ(function.sriov->offset, 0x80);
  EXPECT_EQ(function.sriov->stride, 2);
  EXPECT_EQ(function.sriov->vf_device, 0x10ca);
  ASSERT_THAT(function.sriov->vf_bars, SizeIs(1));
  EXPECT_EQ(function.sriov->vf_bars[0].size, 0x4000U);

  image.put(sriov + PCI_SRIOV_TOTAL_VF, 2, 0);
  EXPECT_EQ(of(image).sriov->vf_bars[0].size, 0x20000U);
}

TEST(ConfigFacts, SerialNumberAndNoSoftReset) {
  Image image;
  image.put(image.add(PCI_CAP_ID_PM, 8) + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET);
  const auto serial = image.add_extended(PCI_EXT_CAP_ID_DSN, 0x0c);
  image.put(serial + 4, 4, 0xff3c2d10U);
  image.put(serial + 8, 4, 0xa0369fffU);
  EXPECT_EQ(of(image).serial, "a0-36-9f-ff-ff-3c-2d-10");
  EXPECT_TRUE(of(image).no_soft_reset);
}

TEST(ConfigFacts, OfSixtyFourBytesOnlyTheHeaderCounts) {
  Image image;
  image.put(PCI_REVISION_ID, 1, 0x03);
  image.put(PCI_HEADER_TYPE, 1, 0x81);  // of a bridge with several functions
  image.add(PCI_CAP_ID_MSIX, 0x0c);
  const auto function = of(image, 64);
  EXPECT_EQ(function.revision, 0x03);
  EXPECT_TRUE(function.is_bridge);
  EXPECT_FALSE(function.msix_vectors);  // not known, which is not none
  EXPECT_THAT(function.sriov->vf_bars, IsEmpty());
  FunctionDetail nothing;
  apply_config(image.bytes(63), nothing);
  EXPECT_EQ(nothing.revision, 0);
}

TEST(ConfigFacts, RubbishGivesAnAnswerAllTheSame) {
  std::mt19937 random{7};
  std::array<std::byte, 4096> bytes{};
  for (int round = 0; round < 2'000; ++round) {
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    FunctionDetail function;
    function.sriov = Sriov{};
    apply_resources(kResources, function);
    apply_config(std::span{bytes}.first(random() % (bytes.size() + 1)), function);
    EXPECT_LE(function.msix_vectors.value_or(0), 2048U);
  }
}

}  // namespace
}  // namespace pcivm::iommu
