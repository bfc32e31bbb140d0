// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/mdev.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/fake_vfio.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"
#include "vfio/uapi.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeVfio;
using test::IsOk;
using test::TempRoot;
using testing::Contains;
using testing::HasSubstr;

const std::string kUuid{"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"};
const std::string kOther{"83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"};

/// A device behind a container or an iommufd that take everything.
class FakeMdevs final : public IoctlPort {
 public:
  FakeVfio device;
  int call(FdRef fd, unsigned long request, void* argument) override {
    switch (request) {
      case VFIO_GET_API_VERSION: return VFIO_API_VERSION;
      case VFIO_CHECK_EXTENSION: return 1;
      case VFIO_GROUP_SET_CONTAINER:
      case VFIO_SET_IOMMU:
      case uapi::ioas_alloc.number:
      case uapi::iommu_destroy.number: return 0;
      default: return device.call(fd, request, argument);
    }
  }
};

class MdevTest : public testing::Test {
 protected:
  // As the kernel's sample mtty with two ports.
  MdevTest() {
    root.file("/dev/vfio/vfio", "");
    auto& device = port.device;
    device.regions = {{0, {.size = 8}}, {1, {.size = 8}}, {7, {.size = 255}}};
    device.irq_counts = {{VFIO_PCI_INTX_IRQ_INDEX, 1}};
    device.device_flags = VFIO_DEVICE_FLAGS_PCI;
    device.config(PCI_STATUS, 2, 0);
    device.config(PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_SPACE_IO);
    device.config(PCI_BASE_ADDRESS_1, 4, PCI_BASE_ADDRESS_SPACE_IO);
    make(kUuid, 17, "vfio4");
  }
  void make(const std::string& uuid, unsigned group, const std::string& node) {
    root.directory(mdev_directory(uuid));
    root.link(mdev_directory(uuid) + "/iommu_group", "../../../../kernel/iommu_groups/" + std::to_string(group));
    root.file("/dev/vfio/" + std::to_string(group), "");
    if (node.empty()) return;
    root.directory(mdev_directory(uuid) + "/vfio-dev/" + node);
    const auto file = "/dev/vfio/devices/" + node;
    root.file(file, "");
    std::ofstream bytes{root.path(file), std::ios::binary};
    bytes.seekp(7 * FakeVfio::kStride);
    for (unsigned at = 0; at < 256; ++at) bytes.put(static_cast<char>(port.device.config(at, 1)));
  }
  Result<Mdev> read(std::optional<IommuBackend> wish = {}) {
    return read_mdev(root.root(), port, kUuid, wish, [this](FdRef) -> Result<void> {
      ++told;
      if (refused) return fail(Errc::kernel, "KVM does not take it");
      return {};
    });
  }
  TempRoot root;
  FakeMdevs port;
  int told{};
  bool refused{};
};

TEST_F(MdevTest, IsNamedByUuidOrDirectory) {
  const std::string upper{"83B8F4F2-509F-382F-3C1E-E6BFE0FA1001"};
  for (const auto& text : {kUuid, upper, mdev_directory(kUuid), mdev_directory(kUuid) + "/"}) {
    const auto found = find_mdev(root.root(), text);
    ASSERT_THAT(found, IsOk()) << text;
    EXPECT_EQ(*found, kUuid);
  }
  for (const auto* text : {"", "0000:01:00.0", "/sys/bus/pci/devices/0000:01:00.0", "83b8f4f2", "/sys/bus/mdev/devices",
                           "/sys/bus/mdev/devices/.."}) {
    EXPECT_THAT(find_mdev(root.root(), text), FailsWith(Errc::invalid, HasSubstr("a UUID or"))) << text;
  }
}

TEST_F(MdevTest, SaysHowToFindOneThatIsNotThere) {
  const auto found = find_mdev(root.root(), kOther);
  EXPECT_THAT(found, FailsWith(Errc::not_found, HasSubstr("no mediated device " + kOther)));
  EXPECT_EQ(found.error().code(), "mdev.not_found");
  EXPECT_THAT(found.error().hint(), HasSubstr("mdevctl list, or ls /sys/bus/mdev/devices"));
}

TEST_F(MdevTest, TellsItsBarsWhenItIsAsked) {
  const auto mdev = read();
  ASSERT_THAT(mdev, IsOk());
  EXPECT_EQ(mdev->uuid, kUuid);
  ASSERT_EQ(mdev->bars.size(), 2U);
  EXPECT_EQ(mdev->bars[1].index, 1U);
  EXPECT_EQ(mdev->bars[1].size, 8U);
  EXPECT_TRUE(mdev->bars[1].io);
  EXPECT_EQ(told, 1) << "before it is opened";
  EXPECT_EQ(port.device.device_name, kUuid);
}

TEST_F(MdevTest, IsOpenedByItsOwnNodeWhereThereIsIommufd) {
  root.file("/dev/iommu", "");
  const auto mdev = read();
  ASSERT_THAT(mdev, IsOk());
  EXPECT_EQ(mdev->bars.size(), 2U);
  EXPECT_THAT(port.device.take_log(), Contains("bind"));
  const auto opened = open_devices(root.root(), port, {}, {}, {&*mdev, 1});
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->backend, IommuBackend::iommufd);
  EXPECT_TRUE(opened->devices.at(0).fd);
  EXPECT_FALSE(opened->groups.at(0).fd) << "the kernel binds no device of a group that is open";
  EXPECT_THAT(read(IommuBackend::container), IsOk());
  EXPECT_EQ(port.device.device_name, kUuid);
}

TEST_F(MdevTest, WithoutANodeOfItsOwnTheContainerIsTaken) {
  root.file("/dev/iommu", "");
  make(kOther, 18, "");
  const std::vector<Mdev> mdevs{{.uuid = kUuid}, {.uuid = kOther}};
  const auto opened = open_devices(root.root(), port, {}, {}, mdevs);
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->backend, IommuBackend::container);
  EXPECT_THAT(opened->reason, HasSubstr(kOther + " has no node"));
  ASSERT_EQ(opened->devices.size(), 2U);
  EXPECT_EQ(opened->devices[1].address, mdev_address(1));
  EXPECT_EQ(opened->devices[1].name(), kOther);
  EXPECT_FALSE(opened->devices[1].is_function());
  EXPECT_EQ(opened->groups.at(opened->devices[1].group).number, 18U);
  EXPECT_TRUE(opened->groups[1].fd);
  EXPECT_TRUE(opened->reserved().empty());
}

TEST_F(MdevTest, PinsNothingByItself) {
  const Mdev mdev{.uuid = kUuid};
  for (const auto wish : {IommuBackend::container, IommuBackend::iommufd}) {
    root.file("/dev/iommu", "");
    auto opened = open_devices(root.root(), port, {}, wish, {&mdev, 1});
    ASSERT_THAT(opened, IsOk());
    const auto space = make_dma_space(port, std::move(*opened));
    ASSERT_THAT(space, IsOk());
    EXPECT_FALSE((*space)->pins()) << to_string(wish);
  }
}

TEST_F(MdevTest, MustBeAPciDevice) {
  port.device.device_flags = VFIO_DEVICE_FLAGS_AP;
  EXPECT_THAT(read(), FailsWith(Errc::refused, HasSubstr(kUuid + ": a crypto adapter of s390 (AP) found, a PCI device")));
  port.device.device_flags = 0;
  EXPECT_THAT(read(), FailsWith(Errc::refused, HasSubstr("of no kind")));
}

TEST_F(MdevTest, SaysWhatADeviceWithoutResetTakes) {
  const Mdev mdev{.uuid = kUuid};
  auto opened = open_devices(root.root(), port, {}, IommuBackend::container, {&mdev, 1});
  const auto space = make_dma_space(port, std::move(opened).value()).value();
  const auto device = space->open(mdev_address(0), UnprovenReset::refuse);
  EXPECT_THAT(device, FailsWith(Errc::refused, HasSubstr(kUuid + ": reset is not proven")));
  EXPECT_THAT(device.error().hint(), HasSubstr("create it anew, then --force=no-reset"));
}

TEST_F(MdevTest, GoesNowhereWhenItsDriverOrKvmDoesNotWant) {
  refused = true;
  EXPECT_THAT(read(), FailsWith(Errc::kernel, HasSubstr(kUuid + ": KVM does not take it")));
  refused = false;
  port.device.fail[VFIO_GROUP_GET_DEVICE_FD] = EBUSY;
  EXPECT_THAT(read(), FailsWith(Errc::busy, HasSubstr(kUuid)));
  port.device.fail[VFIO_GROUP_GET_DEVICE_FD] = ENODEV;
  const auto gone = read();
  EXPECT_THAT(gone, FailsWith(Errc::not_found));
  EXPECT_THAT(gone.error().hint(), HasSubstr(mdev_directory(kUuid))) << "not how to bind a function";
}

TEST_F(MdevTest, NeedsAVfioDriverAndTheModules) {
  root.remove(mdev_directory(kUuid) + "/iommu_group");
  EXPECT_THAT(read(), FailsWith(Errc::not_found, HasSubstr(kUuid + ": no VFIO driver has it")));
  root.remove("/dev/vfio/vfio");
  const auto absent = read();
  EXPECT_THAT(absent, FailsWith(Errc::not_found));
  EXPECT_THAT(absent.error().hint(), HasSubstr("modprobe"));
}

}  // namespace
}  // namespace pcivm::vfio
