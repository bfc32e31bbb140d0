// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/assignable.hpp"

#include <gmock/gmock.h>

#include "iommu/inventory.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::iommu {
namespace {

using test::FakePci;
using test::TempRoot;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AssignableTest : public testing::Test {
 protected:
  std::vector<std::string> codes(std::string_view address) {
    std::vector<std::string> found;
    for (const auto& reason : reasons(address)) found.push_back(reason.code);
    return found;
  }
  std::vector<Reason> reasons(std::string_view address) {
    const auto root = temp.root();
    const auto function = read_function(root, Bdf::parse(address).value()).value();
    return assignable(root, host, function, users_of(root, function.address).value()).value().reasons;
  }
  TempRoot temp;
  FakePci pci{temp};
  HostCaps host{.iommu = IommuKind::vtd,
                .iommu_units = {"dmar0"},
                .interrupt_remapping = Answer::yes,
                .vfio_loaded = true,
                .vfio_available = true};
};

TEST_F(AssignableTest, AnIdleFunctionInAGroupOfItsOwnIs) {
  pci.function({.address = "0000:02:00.0", .driver = "e1000e", .group = 5});
  pci.netdev("0000:02:00.0", "eth1");
  EXPECT_THAT(codes("0000:02:00.0"), IsEmpty());
}

TEST_F(AssignableTest, ABridgeIsNotWhateverElseHolds) {
  pci.function({.address = "0000:00:01.0", .class_code = 0x060400, .driver = "pcieport", .group = {}});
  EXPECT_THAT(codes("0000:00:01.0"), ElementsAre("bridge"));
}

TEST_F(AssignableTest, SiblingsWithNativeDriversAreNamed) {
  pci.function({.address = "0000:02:00.0", .driver = "vfio-pci", .group = 5});
  pci.function({.address = "0000:02:00.1", .driver = "snd_hda_intel", .group = 5});
  const auto found = reasons("0000:02:00.0");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].code, "group-not-viable");
  EXPECT_THAT(found[0].text, HasSubstr("0000:02:00.1 (snd_hda_intel)"));
}

TEST_F(AssignableTest, TellsAHostWithoutIommuFromAFunctionThatItDoesNotCover) {
  pci.function({.address = "0000:02:00.0", .group = {}});
  EXPECT_THAT(codes("0000:02:00.0"), ElementsAre("no-iommu-group"));
  host = {.interrupt_remapping = Answer::no, .vfio_available = true};
  EXPECT_THAT(codes("0000:02:00.0"), ElementsAre("no-iommu"));
}

TEST_F(AssignableTest, WithoutInterruptRemappingItIsNotUnlessTheOperatorAllowedIt) {
  pci.function({.address = "0000:02:00.0", .group = 5});
  host.interrupt_remapping = Answer::no;
  EXPECT_THAT(codes("0000:02:00.0"), ElementsAre("no-interrupt-remapping"));
  host.unsafe_interrupts_allowed = true;
  EXPECT_THAT(codes("0000:02:00.0"), IsEmpty());
}

TEST_F(AssignableTest, ListsEveryReasonAtOnce) {
  pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .reset_method = "", .total_vfs = 7});
  pci.netdev("0000:01:00.0", "eth2");
  pci.vf("0000:01:00.0", 0, "0000:01:10.0", 9);
  temp.directory("/sys/class/net/eth2/upper_eth2.5");
  host.vfio_available = false;
  EXPECT_THAT(codes("0000:01:00.0"), ElementsAre("no-vfio", "in-use", "vfs-enabled", "no-reset"));
}

}  // namespace
}  // namespace pcivm::iommu
