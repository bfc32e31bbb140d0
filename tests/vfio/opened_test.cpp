// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "vfio/memlock.hpp"
#include "vfio/opened.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakePci;
using test::IsOk;
using test::TempRoot;
using testing::ElementsAre;
using testing::HasSubstr;

class FakeGroups final : public IoctlPort {
 public:
  std::uint32_t status{VFIO_GROUP_FLAGS_VIABLE};
  int version{VFIO_API_VERSION};
  std::map<unsigned long, int> asked;
  int call(FdRef, unsigned long request, void* argument) override {
    ++asked[request];
    switch (request) {
      case VFIO_GET_API_VERSION: return version;
      case VFIO_CHECK_EXTENSION: return 1;
      case VFIO_GROUP_GET_STATUS: static_cast<vfio_group_status*>(argument)->flags = status; return 0;
      default: return -ENOTTY;
    }
  }
};

class OpenedTest : public testing::Test {
 protected:
  OpenedTest() {
    pci.vf("0000:01:00.0", 0, "0000:01:10.0", 12);
    pci.bind("0000:01:10.0", "vfio-pci");
    root.file("/dev/vfio/vfio", "");
    root.file("/dev/vfio/12", "");
  }
  Result<OpenedVfio> open(const std::vector<std::string>& addresses, std::optional<IommuBackend> wish = {}) {
    std::vector<Bdf> list;
    for (const auto& address : addresses) list.push_back(Bdf::parse(address).value());
    return open_devices(root.root(), port, list, wish);
  }
  /// A kernel with iommufd, in which the VF has a node of its own.
  void with_iommufd(const std::string& address = "0000:01:10.0", const std::string& name = "vfio3") {
    root.file("/dev/iommu", "");
    root.directory(FakePci::device(address) + "/vfio-dev/" + name);
    root.file("/dev/vfio/devices/" + name, "");
  }
  TempRoot root;
  FakePci pci{root};
  FakeGroups port;
  [[maybe_unused]] bool made_ = [this] {
    pci.function({.driver = "igb", .group = 1, .total_vfs = 7});
    return true;
  }();
};

TEST_F(OpenedTest, OpensContainerAndGroupAndReadsBarsFromSysfs) {
  const auto opened = open({"0000:01:10.0"});
  ASSERT_THAT(opened, IsOk());
  EXPECT_TRUE(opened->iommu);
  EXPECT_EQ(opened->backend, IommuBackend::container);
  EXPECT_THAT(opened->reason, HasSubstr("no iommufd"));
  EXPECT_TRUE(opened->groups[0].fd);
  EXPECT_FALSE(opened->devices.at(0).fd);
  ASSERT_EQ(opened->groups.size(), 1U);
  EXPECT_EQ(opened->groups[0].number, 12U);
  EXPECT_FALSE(opened->groups[0].firmware_memory);
  EXPECT_THAT(opened->reserved(), ElementsAre(IovaRange{Iova{0xfee00000}, Iova{0xfeefffff}}));
  const auto& bars = opened->devices.at(0).bars;
  ASSERT_EQ(bars.size(), 3U);
  EXPECT_EQ(bars[1].size, 32U);
  EXPECT_TRUE(bars[1].io);
  EXPECT_EQ(bars[2].index, 3U);
  EXPECT_TRUE(bars[2].wide);
}

TEST_F(OpenedTest, HasABarForMsixStructuresThatAreAmongRegisters) {
  std::string config(256, '\0');
  config[0x06] = 0x10;
  config[0x34] = 0x40;
  config[0x40] = 0x11;
  config[0x45] = 0x08;  // the table at 0x800 of BAR 0
  config[0x49] = 0x0c;
  root.file(FakePci::device("0000:01:10.0") + "/config", config);
  const auto opened = open({"0000:01:10.0"});
  ASSERT_THAT(opened, IsOk());
  const auto& device = opened->devices.at(0);
  ASSERT_TRUE(device.msix_bar);
  EXPECT_EQ(device.msix_bar->index, 5U);
  EXPECT_EQ(device.bars.size(), 3U);
  EXPECT_EQ(device.guest_bars().size(), 4U);
  EXPECT_EQ(device.bar_mask() & 1U << 5U, 0U) << "VFIO is not asked for it";
  config[0x45] = 0x00;
  config[0x49] = 0x08;
  root.file(FakePci::device("0000:01:10.0") + "/config", config);
  EXPECT_FALSE(open({"0000:01:10.0"})->devices.at(0).msix_bar);
}

TEST_F(OpenedTest, OpensIommufdAndDevicesWhereTheHostHasThem) {
  with_iommufd();
  const auto opened = open({"0000:01:10.0"});
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->backend, IommuBackend::iommufd);
  EXPECT_EQ(opened->reason, "");
  EXPECT_TRUE(opened->iommu);
  EXPECT_TRUE(opened->devices.at(0).fd);
  EXPECT_FALSE(opened->groups.at(0).fd) << "the kernel binds no device of a group that is open";
  EXPECT_THAT(opened->reserved(), ElementsAre(IovaRange{Iova{0xfee00000}, Iova{0xfeefffff}}));
  EXPECT_TRUE(port.asked.empty()) << "the kernel says whether the group is viable when the device is bound";
}

TEST_F(OpenedTest, TakesTheBackEndThatIsWishedFor) {
  const auto absent = open({"0000:01:10.0"}, IommuBackend::iommufd);
  EXPECT_THAT(absent, FailsWith(Errc::not_found, HasSubstr("the kernel has no iommufd")));
  EXPECT_EQ(absent.error().code(), "iommufd.not_found");
  with_iommufd();
  const auto container = open({"0000:01:10.0"}, IommuBackend::container);
  EXPECT_EQ(container->backend, IommuBackend::container);
  EXPECT_EQ(container->reason, "") << "nobody wanted another";
  EXPECT_EQ(open({"0000:01:10.0"}, IommuBackend::iommufd)->backend, IommuBackend::iommufd);
}

TEST_F(OpenedTest, NeedsANodeForEachDevice) {
  with_iommufd();
  pci.function({.address = "0000:01:10.1", .group = 12});
  pci.bind("0000:01:10.1", "vfio-pci");
  const auto opened = open({"0000:01:10.0", "0000:01:10.1"});
  EXPECT_EQ(opened->backend, IommuBackend::container);
  EXPECT_THAT(opened->reason, HasSubstr("0000:01:10.1 has no node below /dev/vfio/devices"));
  EXPECT_THAT(open({"0000:01:10.0", "0000:01:10.1"}, IommuBackend::iommufd), FailsWith(Errc::not_found));
  with_iommufd("0000:01:10.1", "vfio4");
  const auto both = open({"0000:01:10.0", "0000:01:10.1"});
  EXPECT_EQ(both->backend, IommuBackend::iommufd);
  EXPECT_EQ(both->groups.size(), 1U);
  EXPECT_TRUE(both->devices.at(1).fd);
}

TEST_F(OpenedTest, GivesATokenByTheContainerWhereThereIsOne) {
  with_iommufd();
  pci.bind("0000:01:00.0", "vfio-pci");
  ASSERT_THAT(ensure_vf_token(root.root(), Bdf::parse("0000:01:00.0").value()), IsOk());
  const auto opened = open({"0000:01:10.0"});
  EXPECT_EQ(opened->backend, IommuBackend::container);
  EXPECT_THAT(opened->reason, HasSubstr("0000:01:10.0 needs a VF token"));
  root.remove("/dev/vfio/vfio");
  const auto only = open({"0000:01:10.0"});
  EXPECT_EQ(only->backend, IommuBackend::iommufd);
  EXPECT_TRUE(is_uuid(only->devices.at(0).vf_token));
}

TEST_F(OpenedTest, AsksForNoTokenOfAPfThatHasNoVfsAndMakesNone) {
  with_iommufd();
  pci.function({.address = "0000:03:00.0", .driver = "vfio-pci", .group = 12, .total_vfs = 7});
  with_iommufd("0000:03:00.0", "vfio5");
  ASSERT_THAT(ensure_vf_token(root.root(), Bdf::parse("0000:03:00.0").value()), IsOk());
  const auto opened = open({"0000:03:00.0"});
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->backend, IommuBackend::iommufd);
  EXPECT_EQ(opened->devices.at(0).vf_token, "");
  EXPECT_TRUE(is_uuid(open({"0000:03:00.0"}, IommuBackend::container)->devices.at(0).vf_token));
  root.file("/sys/module/vfio_pci/parameters/enable_sriov", "Y\n");
  EXPECT_EQ(open({"0000:03:00.0"})->backend, IommuBackend::container) << "it may make some";
}

TEST_F(OpenedTest, JudgesAGroupWithoutNodeByItsDrivers) {
  with_iommufd();
  root.remove("/dev/vfio/12");
  EXPECT_EQ(open({"0000:01:10.0"})->backend, IommuBackend::iommufd);
  pci.function({.address = "0000:02:00.0", .driver = "e1000e", .group = 12});
  const auto opened = open({"0000:01:10.0"});
  EXPECT_THAT(opened, FailsWith(Errc::refused, HasSubstr("0000:02:00.0 (e1000e)")));
  EXPECT_EQ(opened.error().code(), "group.not_viable");
}

TEST_F(OpenedTest, HandsTheTokenOfAPfOnVfioToItsVfs) {
  EXPECT_EQ(open({"0000:01:10.0"})->devices.at(0).vf_token, "") << "its PF has its own driver";
  pci.bind("0000:01:00.0", "vfio-pci");
  EXPECT_THAT(open({"0000:01:10.0"}), FailsWith(Errc::not_found, HasSubstr("/run/pcivm/vf-token/0000:01:00.0")));
  ASSERT_THAT(ensure_vf_token(root.root(), Bdf::parse("0000:01:00.0").value()), IsOk());
  const auto opened = open({"0000:01:10.0"});
  ASSERT_THAT(opened, IsOk());
  EXPECT_TRUE(is_uuid(opened->devices.at(0).vf_token));
}

TEST_F(OpenedTest, OpensAGroupOnceForTwoFunctions) {
  pci.function({.address = "0000:01:10.1", .group = 12});
  pci.bind("0000:01:10.1", "vfio-pci");
  const auto opened = open({"0000:01:10.0", "0000:01:10.1"});
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->groups.size(), 1U);
  EXPECT_EQ(opened->devices.at(1).group, 0U);
  EXPECT_THAT(open({"0000:01:10.0", "0000:01:10.0"}), FailsWith(Errc::invalid, HasSubstr("given twice")));
}

TEST_F(OpenedTest, ListsTheSiblingsOfAGroupThatIsNotViable) {
  pci.function({.address = "0000:02:00.0", .driver = "e1000e", .group = 12});
  const auto opened = open({"0000:01:10.0"});
  EXPECT_THAT(opened, FailsWith(Errc::refused, HasSubstr("IOMMU group 12: not viable")));
  EXPECT_THAT(opened.error().text(), HasSubstr("0000:02:00.0 (e1000e)"));
  EXPECT_EQ(opened.error().code(), "group.not_viable");
}

TEST_F(OpenedTest, ViableIsABitAmongOthers) {
  port.status = VFIO_GROUP_FLAGS_VIABLE | 0x80U;
  EXPECT_THAT(check_group_viable(root.root(), port, 12), IsOk());
  port.status = VFIO_GROUP_FLAGS_CONTAINER_SET;
  EXPECT_THAT(check_group_viable(root.root(), port, 12), FailsWith(Errc::refused, HasSubstr("not viable")));
  root.file("/dev/vfio/noiommu-12", "");
  EXPECT_THAT(check_group_viable(root.root(), port, 12), FailsWith(Errc::refused, HasSubstr("no-IOMMU")));
}

TEST_F(OpenedTest, WantsAVfioDriver) {
  const auto opened = open({"0000:01:00.0"});
  EXPECT_THAT(opened, FailsWith(Errc::refused, HasSubstr("its driver is igb, wanted vfio-pci")));
  EXPECT_EQ(opened.error().hint(), "pcivm device bind 0000:01:00.0");
}

TEST_F(OpenedTest, ExplainsWhatTheHostLacks) {
  pci.function({.address = "0000:05:00.0", .driver = "vfio-pci", .group = {}});
  EXPECT_THAT(open({"0000:05:00.0"}), FailsWith(Errc::not_found, HasSubstr("IOMMU is off")));
  EXPECT_THAT(open({"0000:0f:00.0"}), FailsWith(Errc::not_found, HasSubstr("0000:0f:00.0")));
  root.remove("/dev/vfio/vfio");
  const auto opened = open({"0000:01:10.0"});
  EXPECT_THAT(opened, FailsWith(Errc::not_found));
  EXPECT_THAT(opened.error().hint(), HasSubstr("modprobe"));
}

TEST_F(OpenedTest, RefusesNoIommuMode) {
  root.file("/dev/vfio/noiommu-12", "");
  EXPECT_THAT(open({"0000:01:10.0"}), FailsWith(Errc::refused, HasSubstr("no-IOMMU")));
}

TEST_F(OpenedTest, TellsFirmwareMemoryFromWhatBootOnlyNeeds) {
  root.file("/sys/kernel/iommu_groups/12/reserved_regions",
            "0x000000007d000000 0x000000007dffffff direct\n0x0000000000000000 0x0000000000ffffff direct-relaxable\n"
            "0x00000000fee00000 0x00000000feefffff msi\n");
  const auto opened = open({"0000:01:10.0"});
  ASSERT_THAT(opened, IsOk());
  EXPECT_TRUE(opened->groups[0].firmware_memory);
  EXPECT_EQ(opened->reserved().size(), 2U);
}

TEST_F(OpenedTest, RefusesAnotherApiVersion) {
  port.version = 1;
  EXPECT_THAT(open({"0000:01:10.0"}), FailsWith(Errc::kernel, HasSubstr("VFIO API version 1, wanted 0")));
}

TEST(Memlock, LooksAtTheSoftLimitUnlessTheCapabilityIsThere) {
  const auto needed = memlock_needed(kGiB);
  EXPECT_EQ(needed, kGiB + 64 * kMiB);
  EXPECT_EQ(limit_to_set(needed, {.soft = 8 * kMiB, .hard = kNoLimit, .may_exceed = true}), std::nullopt);
  EXPECT_EQ(limit_to_set(needed, {.soft = kNoLimit, .hard = kNoLimit, .may_exceed = false}), std::nullopt);
  EXPECT_EQ(limit_to_set(needed, {.soft = 8 * kMiB, .hard = 8 * kMiB, .may_exceed = false}), needed);
  EXPECT_EQ(memlock_needed(kNoLimit - 1), kNoLimit);
}

TEST(Memlock, CountsWhatTheUserHasPinned) {
  const TempRoot root;
  root.file("/proc/7/status", "Name:\tpcivm\nUid:\t64055\t64055\t64055\t64055\nVmPin:\t  1048576 kB\n");
  root.file("/proc/8/status", "Name:\tpcivm\nUid:\t64055\t64055\t64055\t64055\nVmPin:\t      512 kB\n");
  root.file("/proc/9/status", "Name:\tpcivm\nUid:\t0\t0\t0\t0\nVmPin:\t     4096 kB\n");
  root.file("/proc/10/status", "Name:\tkthreadd\nUid:\t64055\t64055\t64055\t64055\n");
  root.file("/proc/version", "Linux");
  EXPECT_EQ(pinned_by(root.root(), 64055), kGiB + 512 * kKiB);
  EXPECT_EQ(pinned_by(root.root(), 1), 0U);
}

TEST(Memlock, ReadsTheEffectiveCapabilities) {
  const TempRoot root;
  root.file("/proc/self/status", "Name:\tpcivm\nCapPrm:\t0000000000000000\nCapEff:\t0000000000004000\n");
  EXPECT_TRUE(memlock_limits(root.root())->may_exceed);
  root.file("/proc/self/status", "Name:\tpcivm\nCapPrm:\t0000000000004000\nCapEff:\t0000000000000000\n");
  EXPECT_FALSE(memlock_limits(root.root())->may_exceed);
  root.file("/proc/self/status", "Name:\tpcivm\n");
  EXPECT_THAT(memlock_limits(root.root()), FailsWith(Errc::kernel));
}

}  // namespace
}  // namespace pcivm::vfio
