// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/support/result_matchers.hpp"
#include "vfio/container.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;

/// A type1 container: keeps what is mapped, answers GET_INFO with ranges and the number of mappings left.
class FakeContainer final : public IoctlPort {
 public:
  std::map<unsigned long, int> fail;
  std::vector<IovaRange> ranges{{Iova{0}, Iova{0xfedfffff}}, {Iova{0xfef00000}, Iova{0xffffffffffff}}};
  std::vector<std::string> log;
  std::uint32_t status{VFIO_GROUP_FLAGS_VIABLE};
  std::size_t questions{};

  int call(FdRef, unsigned long request, void* argument) override {
    if (const auto failing = fail.find(request); failing != fail.end()) return -failing->second;
    switch (request) {
      case VFIO_GROUP_GET_STATUS:
        ++questions;
        static_cast<vfio_group_status*>(argument)->flags = status;
        return 0;
      case VFIO_GROUP_SET_CONTAINER: log.emplace_back("join"); return 0;
      case VFIO_SET_IOMMU: log.emplace_back("iommu"); return 0;
      case VFIO_IOMMU_GET_INFO: ++questions; return get_info(static_cast<vfio_iommu_type1_info*>(argument));
      case VFIO_IOMMU_MAP_DMA: return map(*static_cast<vfio_iommu_type1_dma_map*>(argument));
      case VFIO_IOMMU_UNMAP_DMA: return unmap(*static_cast<vfio_iommu_type1_dma_unmap*>(argument));
      default: return -ENOTTY;
    }
  }
  std::map<std::uint64_t, std::uint64_t> mapped;

 private:
  int get_info(vfio_iommu_type1_info* info) const {
    constexpr std::uint32_t kFirst = sizeof *info;
    const auto list = sizeof(vfio_iommu_type1_info_cap_iova_range) + ranges.size() * sizeof(vfio_iova_range);
    const auto needed = kFirst + list + sizeof(vfio_iommu_type1_info_dma_avail);
    const auto room = std::exchange(info->argsz, static_cast<std::uint32_t>(needed));
    info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    info->iova_pgsizes = 0x40201000;
    if (room < needed) return 0;
    info->cap_offset = kFirst;
    auto* base = static_cast<std::byte*>(static_cast<void*>(info));
    vfio_iommu_type1_info_cap_iova_range head{};
    head.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
    head.header.next = static_cast<std::uint32_t>(kFirst + list);
    head.nr_iovas = static_cast<std::uint32_t>(ranges.size());
    std::memcpy(base + kFirst, &head, sizeof head);
    for (std::size_t index = 0; index < ranges.size(); ++index) {
      const vfio_iova_range range{ranges[index].first.value, ranges[index].last.value};
      std::memcpy(base + kFirst + sizeof head + index * sizeof range, &range, sizeof range);
    }
    vfio_iommu_type1_info_dma_avail left{};
    left.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
    left.avail = 65535;
    std::memcpy(base + kFirst + list, &left, sizeof left);
    return 0;
  }
  int map(const vfio_iommu_type1_dma_map& request) {
    if (!holds(ranges, Iova{request.iova}, request.size)) return -EINVAL;
    mapped[request.iova] = request.size;
    return 0;
  }
  int unmap(vfio_iommu_type1_dma_unmap& request) {
    const auto found = mapped.find(request.iova);
    request.size = found == mapped.end() ? 0 : found->second;
    if (found != mapped.end()) mapped.erase(found);
    return 0;
  }
};

class ContainerTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Container>> attach(bool firmware_memory = false) {
    OpenedVfio opened{.iommu = make_eventfd().value(), .groups = {}, .devices = {}};
    for (const std::uint32_t number : {7U, 9U}) {
      opened.groups.push_back({.number = number,
                               .fd = make_eventfd().value(),
                               .reserved = {},
                               .firmware_memory = firmware_memory && number == 9});
    }
    return Container::attach(port, std::move(opened));
  }
  FakeContainer port;
};

TEST_F(ContainerTest, JoinsEveryGroupAndSetsTheIommuOnce) {
  const auto container = attach();
  ASSERT_THAT(container, IsOk());
  EXPECT_THAT(port.log, ElementsAre("join", "join", "iommu"));
  EXPECT_THAT((*container)->map({Iova{0}, Hva{0x10000}, 0x1000}), IsOk());
  EXPECT_EQ(port.questions, 0U) << "each is a system call";
  EXPECT_THAT(*(*container)->allowed(), testing::ElementsAreArray(port.ranges));
}

TEST_F(ContainerTest, AsksWhyAGroupDoesNotJoin) {
  port.fail[VFIO_GROUP_SET_CONTAINER] = EPERM;
  EXPECT_THAT(attach(), FailsWith(Errc::refused, HasSubstr("group 7: interrupt remapping is off")));
  port.status = 0;
  const auto refused = attach();
  EXPECT_THAT(refused, FailsWith(Errc::refused, HasSubstr("group 7: not viable")));
  EXPECT_EQ(refused.error().code(), "group.not_viable");
  EXPECT_THAT(refused.error().hint(), HasSubstr("pcivm group show 7"));
  port.fail[VFIO_GROUP_GET_STATUS] = EIO;
  EXPECT_THAT(attach(), FailsWith(Errc::refused, HasSubstr("VFIO_GROUP_SET_CONTAINER")));
}

TEST_F(ContainerTest, EpermIsInterruptRemappingOrFirmwareMemory) {
  port.fail[VFIO_SET_IOMMU] = EPERM;
  const auto refused = attach();
  EXPECT_THAT(refused, FailsWith(Errc::refused, HasSubstr("interrupt remapping is off")));
  EXPECT_THAT(refused.error().hint(), HasSubstr("does not set allow_unsafe_interrupts"));
  EXPECT_THAT(attach(true), FailsWith(Errc::refused, HasSubstr("firmware reserves memory for a device of group 9")));
  port.fail[VFIO_SET_IOMMU] = EINVAL;
  EXPECT_THAT(attach(true), FailsWith(Errc::refused, HasSubstr("firmware reserves memory"))) << "Linux 6.6";
}

TEST_F(ContainerTest, NamesTheGroupThatDoesNotJoin) {
  port.fail[VFIO_GROUP_SET_CONTAINER] = EBUSY;
  EXPECT_THAT(attach(), FailsWith(Errc::busy, HasSubstr("group 7: VFIO_GROUP_SET_CONTAINER")));
}

TEST_F(ContainerTest, TakesOneMoreDeviceAndLetsGoOfAGroupWithItsLast) {
  constexpr Bdf kFirst{.domain = 0, .bus = 1, .device = 0, .function = 0};
  constexpr Bdf kSecond{.domain = 0, .bus = 1, .device = 0, .function = 1};
  const auto container = attach().value();
  EXPECT_EQ(container->files().size(), 2U) << "what KVM is told of";
  const auto one = [](std::uint32_t group, Bdf address) {
    OpenedVfio opened{.iommu = make_eventfd().value(), .groups = {}, .devices = {}};
    opened.groups.push_back({.number = group, .fd = make_eventfd().value(), .reserved = {}, .firmware_memory = false});
    opened.devices.push_back({.address = address, .group = 0, .bars = {}});
    return opened;
  };
  EXPECT_EQ(container->add(one(11, kFirst))->size(), 1U);
  EXPECT_EQ(container->add(one(11, kSecond))->size(), 0U) << "KVM knows the group";
  EXPECT_EQ(container->files().size(), 3U);
  port.fail[VFIO_GROUP_GET_DEVICE_FD] = EBUSY;
  EXPECT_THAT(container->open(kSecond, UnprovenReset::refuse), FailsWith(Errc::busy));
  EXPECT_THAT(container->attach(kSecond), IsOk());
  port.fail[VFIO_GROUP_SET_CONTAINER] = EPERM;
  EXPECT_THAT(container->add(one(12, kFirst)), FailsWith(Errc::refused, HasSubstr("group 12: interrupt remapping")));
  container->close(kFirst);
  EXPECT_THAT(container->open(kFirst, UnprovenReset::refuse), FailsWith(Errc::internal));
  EXPECT_THAT(container->open(kSecond, UnprovenReset::refuse), FailsWith(Errc::busy)) << "its group is still there";
  container->close(kSecond);
  EXPECT_EQ(container->files().size(), 0U) << "the first two had no devices";
}

TEST_F(ContainerTest, WantsType1Version2) {
  port.fail[VFIO_SET_IOMMU] = ENODEV;
  EXPECT_THAT(attach(), FailsWith(Errc::not_found, HasSubstr("type1v2")));
}

TEST_F(ContainerTest, MapsRunsThatContinueEachOtherAtOnce) {
  const auto container = attach().value();
  const std::vector<DmaRun> runs{{Iova{0}, Hva{0x10000}, 0x1000},
                                 {Iova{0x1000}, Hva{0x11000}, 0x2000},
                                 {Iova{0x3000}, Hva{0x20000}, 0x1000},
                                 {Iova{0x100000000}, Hva{0x30000}, 0x1000}};
  EXPECT_THAT(map_all(*container, runs), IsOk());
  EXPECT_EQ(port.mapped,
            (std::map<std::uint64_t, std::uint64_t>{{0, 0x3000}, {0x3000, 0x1000}, {0x100000000, 0x1000}}));
  EXPECT_EQ(container->counters().maps, 3U);
  EXPECT_EQ(container->counters().mapped_bytes, 0x5000U);
}

TEST_F(ContainerTest, UndoesWhatWasMappedWhenALaterRunFails) {
  const auto container = attach().value();
  const std::vector<DmaRun> runs{{Iova{0}, Hva{0x10000}, 0x1000}, {Iova{0xfee00000}, Hva{0x90000}, 0x1000}};
  const auto outcome = map_all(*container, runs);
  EXPECT_THAT(outcome, FailsWith(Errc::refused, HasSubstr("map 4096 bytes at 0xfee00000")));
  EXPECT_TRUE(port.mapped.empty());
  EXPECT_EQ(container->counters().mapped_bytes, 0U);
}

TEST_F(ContainerTest, SaysWhetherTheAddressOrSomethingElseIsRefused) {
  const auto container = attach().value();
  EXPECT_THAT(container->map({Iova{0xfee00000}, Hva{0}, 0x1000}), FailsWith(Errc::refused));
  port.fail[VFIO_IOMMU_MAP_DMA] = EINVAL;
  EXPECT_THAT(container->map({Iova{0x1000}, Hva{0}, 0x1000}), FailsWith(Errc::kernel)) << "it could be mapped";
  port.ranges.clear();
  EXPECT_THAT(container->map({Iova{0xfee00000}, Hva{0}, 0x1000}), FailsWith(Errc::kernel)) << "before Linux 5.4";
  port.fail[VFIO_IOMMU_GET_INFO] = EIO;
  EXPECT_THAT(container->map({Iova{0xfee00000}, Hva{0}, 0x1000}), FailsWith(Errc::kernel));
}

TEST_F(ContainerTest, ExplainsLockedMemoryAndTheMappingLimit) {
  const auto container = attach().value();
  port.fail[VFIO_IOMMU_MAP_DMA] = ENOMEM;
  const auto locked = container->map({Iova{0}, Hva{0}, kMiB});
  EXPECT_THAT(locked, FailsWith(Errc::denied));
  EXPECT_THAT(locked.error().hint(), HasSubstr("at least 1024 KiB more"));
  port.fail[VFIO_IOMMU_MAP_DMA] = ENOSPC;
  EXPECT_THAT(container->map({Iova{0}, Hva{0}, kMiB}).error().hint(), HasSubstr("dma_entry_limit"));
  port.fail[VFIO_IOMMU_MAP_DMA] = EEXIST;
  EXPECT_THAT(container->map({Iova{0}, Hva{0}, kMiB}), FailsWith(Errc::busy));
}

TEST_F(ContainerTest, UnmapThatUnmapsLessIsAnError) {
  const auto container = attach().value();
  EXPECT_THAT(container->unmap(Iova{0x1000}, 0x1000), FailsWith(Errc::kernel, HasSubstr("0 bytes were mapped")));
}

TEST(IovaRanges, HoldOnlyWhatIsWhollyInside) {
  const std::vector<IovaRange> ranges{{Iova{0x1000}, Iova{0x2fff}}, {Iova{0x3000}, Iova{~std::uint64_t{0}}}};
  EXPECT_TRUE(holds(ranges, Iova{0x1000}, 0x2000));
  EXPECT_FALSE(holds(ranges, Iova{0x1000}, 0x2001)) << "two ranges that touch are still two";
  EXPECT_FALSE(holds(ranges, Iova{0xfff}, 2));
  EXPECT_FALSE(holds(ranges, Iova{0x1000}, 0));
  EXPECT_TRUE(holds(ranges, Iova{~std::uint64_t{0}}, 1));
  EXPECT_FALSE(holds(ranges, Iova{~std::uint64_t{0}}, 2));
}

}  // namespace
}  // namespace pcivm::vfio
