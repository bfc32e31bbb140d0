// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <array>
#include <random>
#include <vector>

#include "base/pci_config.hpp"
#include "vmm/config_patch.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class AssignedConfigPatch : public testing::Test {
 protected:
  void standard(std::uint16_t at, std::uint8_t id, std::uint8_t next) { set(at, 2, unsigned{next} << 8U | id); }
  void extended(std::uint16_t at, std::uint32_t id, std::uint32_t next) { set(at, 4, next << 20U | 1U << 16U | id); }
  void set(std::uint16_t at, unsigned width, std::uint32_t value) { config_store(image, at, width, value); }
  ConfigPatches patched(const ConfigPolicy& policy = {}) const {
    auto patches = ConfigPatches::build(image, policy);
    patches.extend(image);
    return patches;
  }
  /// What the guest finds when it walks what it sees.
  std::vector<std::byte> guest_view(const ConfigPolicy& policy = {}) const {
    auto seen = image;
    patched(policy).apply(0, seen);
    return seen;
  }
  std::vector<std::byte> image = std::vector<std::byte>(4096);
};

TEST_F(AssignedConfigPatch, RemovesHiddenExtendedCapabilitiesFromTheList) {
  extended(0x100, 1, 0x140);
  extended(0x140, PCI_EXT_CAP_ID_ARI, 0x150);
  extended(0x150, PCI_EXT_CAP_ID_SRIOV, 0x1a0);
  extended(0x1a0, 0x17, 0x1c0);
  extended(0x1c0, PCI_EXT_CAP_ID_ATS, 0);
  const auto seen = guest_view();
  EXPECT_THAT(extended_capabilities(seen), ElementsAre(Capability{1, 0x100}, Capability{0x17, 0x1a0}));
  EXPECT_EQ(config_u32(seen, 0x150), 0U);
}

TEST_F(AssignedConfigPatch, FirstExtendedCapabilityBecomesANullEntry) {
  extended(0x100, PCI_EXT_CAP_ID_SRIOV, 0x140);
  extended(0x140, 1, 0);
  const auto seen = guest_view();
  EXPECT_EQ(config_u32(seen, 0x100), 0x14000000U);
  EXPECT_EQ(config_u32(seen, 0x140) & 0xffffU, 1U);
}

TEST_F(AssignedConfigPatch, OnlyHiddenExtendedCapabilityLeavesAnEmptyList) {
  extended(0x100, PCI_EXT_CAP_ID_ARI, 0);
  EXPECT_EQ(config_u32(guest_view(), 0x100), 0U);
}

TEST_F(AssignedConfigPatch, BodyOfAHiddenCapabilityIsZeroAndIgnoresWrites) {
  extended(0x100, 1, 0x140);
  extended(0x140, PCI_EXT_CAP_ID_REBAR, 0x150);
  extended(0x150, 0x17, 0);
  set(0x148, 4, 0xffffffff);
  set(0x154, 4, 0x12345678);
  const auto patches = patched();
  EXPECT_EQ(config_u32(guest_view(), 0x148), 0U);
  EXPECT_FALSE(patches.writable(0x148));
  EXPECT_EQ(config_u32(guest_view(), 0x154), 0x12345678U) << "the next capability is not touched";
  EXPECT_TRUE(patches.writable(0x154));
}

TEST_F(AssignedConfigPatch, RemovesMsiFromTheStandardList) {
  set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  set(PCI_CAPABILITY_LIST, 1, 0x50);
  standard(0x50, PCI_CAP_ID_MSI, 0x70);
  standard(0x70, PCI_CAP_ID_MSIX, 0xa0);
  standard(0xa0, PCI_CAP_ID_EXP, 0);
  EXPECT_THAT(capabilities(guest_view({.hide_msi = true})),
              ElementsAre(Capability{PCI_CAP_ID_MSIX, 0x70}, Capability{PCI_CAP_ID_EXP, 0xa0}));
  EXPECT_THAT(capabilities(guest_view({.hide_msix = true, .hide_msi = true})),
              ElementsAre(Capability{PCI_CAP_ID_EXP, 0xa0}));
  EXPECT_THAT(capabilities(guest_view()), testing::SizeIs(3));
}

TEST_F(AssignedConfigPatch, HidesASecondCapabilityOfAKindThatIsWatched) {
  set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  set(PCI_CAPABILITY_LIST, 1, 0x40);
  std::uint8_t at = 0x40;
  std::vector<Capability> first;
  for (const auto id :
       {PCI_CAP_ID_PM, PCI_CAP_ID_MSI, PCI_CAP_ID_EXP, PCI_CAP_ID_MSIX, PCI_CAP_ID_AF, PCI_CAP_ID_VNDR}) {
    const auto second = static_cast<std::uint8_t>(at + 0x14);
    standard(at, static_cast<std::uint8_t>(id), second);
    standard(second, static_cast<std::uint8_t>(id), static_cast<std::uint8_t>(second + 8));
    set(second + 4U, 4, 0x12345678);
    first.push_back({static_cast<std::uint16_t>(id), at});
    at = static_cast<std::uint8_t>(second + 8);
  }
  first.push_back({PCI_CAP_ID_VNDR, static_cast<std::uint16_t>(at - 8)});  // of those there may be many
  standard(static_cast<std::uint16_t>(at - 8), PCI_CAP_ID_VNDR, 0);
  EXPECT_EQ(capabilities(guest_view()), first);
  const auto patches = patched();
  EXPECT_EQ(config_u32(guest_view(), 0x58), 0U);
  EXPECT_FALSE(patches.writable(0x58)) << "a second power state would be a way around the first";
}

TEST_F(AssignedConfigPatch, HidesACapabilityAmongTheRegistersOfAWatchedOne) {
  constexpr std::uint32_t kControl = PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT;
  set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  set(PCI_CAPABILITY_LIST, 1, 0x50);
  standard(0x50, PCI_CAP_ID_MSI, 0x64);
  set(0x50 + PCI_MSI_FLAGS, 2, kControl);
  standard(0x64, PCI_CAP_ID_VNDR, 0x68);  // its last dword
  standard(0x68, PCI_CAP_ID_VNDR, 0x40);
  standard(0x40, PCI_CAP_ID_MSIX, 0x44);
  standard(0x44, PCI_CAP_ID_PM, 0);
  set(0x4c, 4, 0x12345678);
  const auto seen = guest_view();
  EXPECT_THAT(capabilities(seen), ElementsAre(Capability{PCI_CAP_ID_MSI, 0x50}, Capability{PCI_CAP_ID_VNDR, 0x68},
                                              Capability{PCI_CAP_ID_MSIX, 0x40}));
  EXPECT_EQ(config_u32(seen, 0x44), PCI_CAP_ID_PM) << "the registers around it stay";
  EXPECT_EQ(config_u32(seen, 0x4c), 0U) << "its own do not";
}

TEST_F(AssignedConfigPatch, HidesEnhancedAllocationToItsEnd) {
  set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  set(PCI_CAPABILITY_LIST, 1, 0x44);
  standard(0x44, 0x14, 0);
  set(0xfc, 4, 0xfee1dead);
  set(0x100, 4, 0x00010001);
  EXPECT_THAT(capabilities(guest_view()), IsEmpty());
  EXPECT_EQ(config_u32(guest_view(), 0xfc), 0U);
  EXPECT_EQ(config_u32(guest_view(), 0x100), 0x00010001U);
}

TEST_F(AssignedConfigPatch, HidesMultifunctionRomAndOnRequestThePin) {
  set(PCI_HEADER_TYPE, 1, 0x80);
  set(PCI_ROM_ADDRESS, 4, 0xfff00001);
  set(PCI_INTERRUPT_LINE, 2, 0x010b);
  EXPECT_EQ(config_u8(guest_view(), PCI_HEADER_TYPE), 0U);
  EXPECT_EQ(config_u32(guest_view(), PCI_ROM_ADDRESS), 0U);
  EXPECT_EQ(config_u16(guest_view(), PCI_INTERRUPT_LINE), 0x010bU);
  EXPECT_EQ(config_u16(guest_view({.hide_intx = true}), PCI_INTERRUPT_LINE), 0x000bU) << "the line stays the guest's";
}

// What a malformed list looks like, and that the guest sees a list that ends.
TEST_F(AssignedConfigPatch, CutsMalformedStandardLists) {
  struct Case {
    const char* what;
    std::uint8_t first;
    std::uint8_t next_of_50;
    std::size_t entries;
  };
  for (const auto& item : {Case{"pointer 0xff", 0xff, 0, 1}, Case{"loop on itself", 0x50, 0x50, 1},
                           Case{"cycle of two", 0x50, 0x60, 2}, Case{"pointer into the header", 0x50, 0x3c, 1},
                           Case{"low bits set", 0x53, 0x00, 1}, Case{"pointer 0", 0x00, 0x00, 0}}) {
    image.assign(4096, std::byte{0});
    set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    set(PCI_CAPABILITY_LIST, 1, item.first);
    standard(0x50, PCI_CAP_ID_PM, item.next_of_50);
    standard(0x60, PCI_CAP_ID_EXP, 0x50);
    const auto seen = guest_view();
    const auto list = capabilities(seen);
    EXPECT_EQ(list.size(), item.entries) << item.what;
    if (!list.empty()) {
      EXPECT_EQ(config_u8(seen, list.back().offset + 1U), 0U) << item.what;
    }
  }
}

TEST_F(AssignedConfigPatch, ListWithoutItsStatusBitStaysHidden) {
  set(PCI_CAPABILITY_LIST, 1, 0x50);
  standard(0x50, PCI_CAP_ID_PM, 0);
  EXPECT_EQ(config_u8(guest_view(), PCI_CAPABILITY_LIST), 0U);
}

TEST_F(AssignedConfigPatch, CutsMalformedExtendedLists) {
  for (const std::uint32_t next : {0x100U, 0x140U, 0x0fcU, 0xffcU, 0x004U}) {
    image.assign(4096, std::byte{0});
    extended(0x100, 1, 0x140);
    extended(0x140, 0x17, next);
    const auto list = extended_capabilities(guest_view());
    ASSERT_FALSE(list.empty());
    EXPECT_EQ(config_u32(guest_view(), list.back().offset) >> 20U, 0U) << next;
  }
  image.assign(4096, std::byte{0xff});
  EXPECT_THAT(extended_capabilities(guest_view()), IsEmpty());
  EXPECT_EQ(config_u32(guest_view(), 0x100), 0U);
}

TEST_F(AssignedConfigPatch, AnyImageGivesListsThatEndWithoutHiddenCapabilities) {
  std::mt19937 random{7};
  for (unsigned round = 0; round < 300; ++round) {
    image.resize(round % 3 == 0 ? 256 : 4096);
    for (auto& byte : image) byte = static_cast<std::byte>(random() & 0xffU);
    set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    const auto seen = guest_view({.hide_msix = true, .hide_msi = true, .hide_intx = true});
    for (const auto& capability : capabilities(seen)) {
      EXPECT_NE(capability.id, PCI_CAP_ID_MSI);
      EXPECT_NE(capability.id, PCI_CAP_ID_MSIX);
    }
    for (const auto& capability : extended_capabilities(seen)) {
      EXPECT_NE(capability.id, PCI_EXT_CAP_ID_SRIOV);
      EXPECT_NE(capability.id, PCI_EXT_CAP_ID_REBAR);
    }
  }
}

TEST_F(AssignedConfigPatch, AppliesToAnyPartOfADword) {
  set(PCI_HEADER_TYPE, 1, 0x80);
  const auto patches = patched();
  std::array<std::byte, 1> one{std::byte{0x80}};
  patches.apply(PCI_HEADER_TYPE, one);
  EXPECT_EQ(one[0], std::byte{0});
  EXPECT_TRUE(patches.writable(PCI_CACHE_LINE_SIZE));
  EXPECT_FALSE(patches.writable(PCI_HEADER_TYPE));
}

}  // namespace
}  // namespace pcivm::vmm
