// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cstring>
#include <random>
#include <vector>

#include "vfio/info_chain.hpp"
#include "vfio/region.hpp"

namespace pcivm::vfio {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// What the kernel answers: header, then one sparse capability with these areas.
std::vector<std::byte> info_with(std::uint64_t size, const std::vector<Area>& areas, std::uint32_t next = 0) {
  std::vector<std::byte> bytes(sizeof(vfio_region_info) + sizeof(vfio_region_info_cap_sparse_mmap) + areas.size() * 16);
  vfio_region_info info{};
  info.argsz = static_cast<std::uint32_t>(bytes.size());
  info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP |
               VFIO_REGION_INFO_FLAG_CAPS;
  info.size = size;
  info.cap_offset = sizeof info;
  std::memcpy(bytes.data(), &info, sizeof info);
  vfio_region_info_cap_sparse_mmap sparse{};
  sparse.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
  sparse.header.next = next;
  sparse.nr_areas = static_cast<std::uint32_t>(areas.size());
  std::memcpy(bytes.data() + sizeof info, &sparse, sizeof sparse);
  if (!areas.empty()) std::memcpy(bytes.data() + sizeof info + sizeof sparse, areas.data(), areas.size() * 16);
  return bytes;
}

TEST(Region, MapsExactlyTheListedAreas) {
  EXPECT_THAT(parse_region(info_with(0x8000, {{0x4000, 0x1000}, {0, 0x2000}})).areas,
              ElementsAre(Area{0, 0x2000}, Area{0x4000, 0x1000}));
}

TEST(Region, DropsAreasThatAreOutsideOrNotAligned) {
  EXPECT_THAT(parse_region(
                  info_with(0x4000, {{0x3000, 0x2000}, {0x800, 0x1000}, {0, 0}, {~0xfffULL, 0x2000}, {0x1000, 0x1000}}))
                  .areas,
              ElementsAre(Area{0x1000, 0x1000}));
}

TEST(Region, JoinsAreasThatOverlapOrTouch) {
  EXPECT_THAT(parse_region(info_with(0x8000, {{0, 0x3000}, {0x1000, 0x1000}, {0x3000, 0x1000}})).areas,
              ElementsAre(Area{0, 0x4000}));
}

TEST(Region, CountOfAreasDoesNotLeaveTheBuffer) {
  auto bytes = info_with(0x4000, {{0, 0x1000}});
  const std::uint32_t count = 0xffffffff;
  std::memcpy(bytes.data() + sizeof(vfio_region_info) + offsetof(vfio_region_info_cap_sparse_mmap, nr_areas), &count,
              4);
  EXPECT_THAT(parse_region(bytes).areas, ElementsAre(Area{0, 0x1000}));
}

TEST(Region, EmptySparseListMapsNothing) { EXPECT_THAT(parse_region(info_with(0x4000, {})).areas, IsEmpty()); }

TEST(Region, SmallerThanAPageIsNotMapped) {
  vfio_region_info info{};
  info.flags = VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_READ;
  info.size = 0x800;
  EXPECT_THAT(parse_region(std::as_bytes(std::span{&info, 1})).areas, IsEmpty());
  info.size = 0x2000;
  EXPECT_THAT(parse_region(std::as_bytes(std::span{&info, 1})).areas, ElementsAre(Area{0, 0x2000}));
}

TEST(InfoChain, EndsOnALoopAndOutsideTheBuffer) {
  const auto looping = info_with(0x4000, {{0, 0x1000}}, sizeof(vfio_region_info));
  EXPECT_THAT(info_capabilities(looping, sizeof(vfio_region_info)), testing::SizeIs(1));
  const auto leaving = info_with(0x4000, {{0, 0x1000}}, 0xfffffff0);
  EXPECT_THAT(info_capabilities(leaving, sizeof(vfio_region_info)), testing::SizeIs(1));
  EXPECT_THAT(info_capabilities(leaving, static_cast<std::uint32_t>(leaving.size() - 2)), IsEmpty());
}

TEST(InfoChain, AnyBytesAreSurvived) {
  std::mt19937 random{3};
  for (unsigned round = 0; round < 2000; ++round) {
    std::vector<std::byte> bytes(random() % 160);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? random() & 0xffU : 0);
    const auto region = parse_region(bytes);
    for (const auto& area : region.areas) EXPECT_LE(area.end(), region.size);
  }
}

TEST(Subtract, LeavesTheRestInWholePages) {
  const std::vector<Area> all{{0, 0x8000}};
  EXPECT_THAT(subtract(all, {0x2010, 0x20}), ElementsAre(Area{0, 0x2000}, Area{0x3000, 0x5000}));
  EXPECT_THAT(subtract(all, {0, 0x1000}), ElementsAre(Area{0x1000, 0x7000}));
  EXPECT_THAT(subtract(all, {0x7ff0, 0x10}), ElementsAre(Area{0, 0x7000}));
  EXPECT_THAT(subtract(all, {0x1000, 0}), ElementsAre(Area{0, 0x8000}));
  EXPECT_THAT(subtract(all, {0, 0x8000}), IsEmpty());
  EXPECT_THAT(subtract(all, {0x9000, 0x1000}), ElementsAre(Area{0, 0x8000}));
}

}  // namespace
}  // namespace pcivm::vfio
