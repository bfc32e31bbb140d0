// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/sharing.hpp"

#include <gmock/gmock.h>
#include <linux/pci_regs.h>

#include "base/pci_config.hpp"

namespace pcivm::iommu {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr unsigned kAll = PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF;

struct Made {
  std::string_view address;
  int express{-1};  ///< Device/Port Type, -1 = conventional
  bool bridge{};
  bool several{};  ///< multifunction bit
  int able{-1};    ///< ACS capability, -1 = none
  unsigned enabled{kAll};
  bool vf{};
};

SharingMember member(const Made& made) {
  std::vector<std::byte> image(4096);
  const auto put = [&image](std::size_t at, unsigned width, unsigned value) { config_store(image, at, width, value); };
  put(PCI_HEADER_TYPE, 1, (made.bridge ? 1U : 0U) | (made.several ? 0x80U : 0U));
  if (made.express >= 0) {
    put(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    put(PCI_CAPABILITY_LIST, 1, 0x40);
    put(0x40, 4, PCI_CAP_ID_EXP | static_cast<unsigned>(made.express) << 20U);
  }
  if (made.able >= 0) {
    put(0x100, 4, PCI_EXT_CAP_ID_ACS | 1U << 16U);
    put(0x100 + PCI_ACS_CAP, 2, static_cast<unsigned>(made.able));
    put(0x100 + PCI_ACS_CTRL, 2, made.enabled);
  }
  return {.address = Bdf::parse(made.address).value(), .is_vf = made.vf, .config = image};
}

std::vector<SharingReason> reasons(std::initializer_list<Made> made) {
  std::vector<SharingMember> members;
  for (const auto& one : made) members.push_back(member(one));
  return sharing_reasons(members);
}

TEST(Sharing, AGroupOfOneNeedsNoReason) {
  EXPECT_THAT(reasons({{.address = "0000:01:00.0", .express = 0}}), IsEmpty());
}

TEST(Sharing, NamesTheBridgeToConventionalPci) {
  const auto found = reasons({{.address = "0000:02:00.0", .express = PCI_EXP_TYPE_PCI_BRIDGE, .bridge = true},
                              {.address = "0000:03:01.0"},
                              {.address = "0000:03:02.0"}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].function, Bdf::parse("0000:02:00.0").value());
  EXPECT_THAT(found[0].text, HasSubstr("bridge to conventional PCI"));
  EXPECT_THAT(found[0].lacks, IsEmpty());
}

TEST(Sharing, NamesAPortWithoutAcsAndNotTheDeviceBelowIt) {
  const auto found = reasons({{.address = "0000:00:01.0", .express = PCI_EXP_TYPE_ROOT_PORT, .bridge = true},
                              {.address = "0000:01:00.0", .express = PCI_EXP_TYPE_ENDPOINT}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, AllOf(HasSubstr("0000:00:01.0 (root port)"), HasSubstr("no Access Control Services")));
  EXPECT_THAT(found[0].lacks, ElementsAre("SV", "RR", "CR", "UF"));
}

TEST(Sharing, NamesTheBitsThatAPortCouldEnforceAndDoesNot) {
  const auto found = reasons({{.address = "0000:02:01.0",
                               .express = PCI_EXP_TYPE_DOWNSTREAM,
                               .bridge = true,
                               .able = kAll,
                               .enabled = PCI_ACS_SV | PCI_ACS_UF},
                              {.address = "0000:03:00.0", .express = PCI_EXP_TYPE_ENDPOINT}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].lacks, ElementsAre("RR", "CR"));
  EXPECT_THAT(found[0].text, HasSubstr("does not enforce RR, CR"));
}

TEST(Sharing, WhatAPortCannotControlItNeedNotEnforce) {
  const auto found = reasons({{.address = "0000:02:01.0",
                               .express = PCI_EXP_TYPE_DOWNSTREAM,
                               .bridge = true,
                               .able = PCI_ACS_SV | PCI_ACS_UF,
                               .enabled = PCI_ACS_SV | PCI_ACS_UF},
                              {.address = "0000:03:00.0", .express = PCI_EXP_TYPE_ENDPOINT}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("no capability explains it"));
}

TEST(Sharing, NamesEachFunctionOfADeviceWithoutAcs) {
  const auto found = reasons({{.address = "0000:00:1f.0", .several = true}, {.address = "0000:00:1f.2"}});
  ASSERT_EQ(found.size(), 2U);
  EXPECT_THAT(found[1].text, AllOf(HasSubstr("0000:00:1f.2"), HasSubstr("one function of several")));
  const auto apart = reasons({{.address = "0000:01:00.0", .express = 0, .several = true, .able = kAll},
                              {.address = "0000:01:00.1", .express = 0, .able = 0}});
  ASSERT_EQ(apart.size(), 1U);
  EXPECT_THAT(apart[0].text, HasSubstr("no capability explains it"));
}

TEST(Sharing, VirtualFunctionsAreNotFunctionsOfADevice) {
  const auto found = reasons(
      {{.address = "0000:01:10.0", .express = 0, .vf = true}, {.address = "0000:01:10.1", .express = 0, .vf = true}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("no capability explains it"));
}

TEST(Sharing, SaysWhenTheCapabilitiesCannotBeRead) {
  auto first = member({.address = "0000:01:00.0", .express = 0});
  auto second = first;
  second.config.resize(64);
  EXPECT_THAT(sharing_reasons(std::vector{first, second})[0].text, HasSubstr("only root can read"));
}

}  // namespace
}  // namespace pcivm::iommu
