// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/host_caps.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/support/temp_root.hpp"

namespace pcivm::iommu {
namespace {

using testing::ElementsAre;

class HostCapsTest : public testing::Test {
 protected:
  void interrupts(std::string_view chip) {
    temp.file("/proc/interrupts", fmt::format("           CPU0\n   9:          0   {}   9-fasteoi   acpi\n", chip));
  }
  HostCaps caps() { return read_host_caps(temp.root()); }
  test::TempRoot temp;
};

TEST_F(HostCapsTest, ABareHostOffersNothing) {
  const auto found = caps();
  EXPECT_EQ(found.iommu, IommuKind::none);
  EXPECT_EQ(found.interrupt_remapping, Answer::unknown);
  EXPECT_FALSE(found.vfio_loaded);
  EXPECT_FALSE(found.vfio_available);
  EXPECT_FALSE(found.kvm);
}

TEST_F(HostCapsTest, TellsVtdFromAmdVi) {
  temp.directory("/sys/class/iommu/dmar0");
  temp.directory("/sys/class/iommu/dmar1");
  EXPECT_EQ(caps().iommu, IommuKind::vtd);
  EXPECT_THAT(caps().iommu_units, ElementsAre("dmar0", "dmar1"));
  temp.remove("/sys/class/iommu");
  temp.directory("/sys/class/iommu/ivhd0");
  EXPECT_EQ(caps().iommu, IommuKind::amdvi);
}

TEST_F(HostCapsTest, ReadsInterruptRemappingFromTheNamesOfTheChips) {
  interrupts("IR-IO-APIC");
  EXPECT_EQ(caps().interrupt_remapping, Answer::yes);
  interrupts("IO-APIC");
  EXPECT_EQ(caps().interrupt_remapping, Answer::no);
  interrupts("IR-PCI-MSIX-0000:01:00.0");
  EXPECT_EQ(caps().interrupt_remapping, Answer::yes);
  interrupts("GICv3");
  EXPECT_EQ(caps().interrupt_remapping, Answer::unknown);
}

TEST_F(HostCapsTest, SeesThatUnsafeInterruptsAreAllowed) {
  temp.file("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
  EXPECT_FALSE(caps().unsafe_interrupts_allowed);
  temp.file("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
  EXPECT_TRUE(caps().unsafe_interrupts_allowed);
}

TEST_F(HostCapsTest, VfioNeedsTheDriverAndABackEnd) {
  temp.directory("/sys/bus/pci/drivers/vfio-pci");
  EXPECT_FALSE(caps().vfio_loaded);
  temp.directory("/sys/module/vfio_iommu_type1");
  EXPECT_TRUE(caps().vfio_loaded);
}

TEST_F(HostCapsTest, FindsPackedModulesOfTheRunningKernel) {
  temp.file("/proc/sys/kernel/osrelease", "6.12.1\n");
  temp.file("/lib/modules/6.12.1/kernel/drivers/vfio/pci/vfio-pci.ko.xz", "");
  EXPECT_FALSE(caps().vfio_available);
  temp.file("/lib/modules/6.12.1/kernel/drivers/vfio/vfio_iommu_type1.ko.xz", "");
  EXPECT_TRUE(caps().vfio_available);
  EXPECT_FALSE(caps().vfio_loaded);
}

}  // namespace
}  // namespace pcivm::iommu
