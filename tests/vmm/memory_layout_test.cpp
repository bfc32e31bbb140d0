// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/memory_layout.hpp"

#include <gtest/gtest.h>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using testing::HasSubstr;

std::vector<std::pair<std::uint64_t, std::uint64_t>> ram(const MemoryLayout& layout) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> all;
  for (const auto& range : layout.ram) all.emplace_back(range.gpa.value, range.length);
  return all;
}

TEST(MemoryLayout, KeepsThreeGibibytesBelowTheHole) {
  const auto layout = lay_out_memory({.memory = 3 * kGiB}).value();
  EXPECT_THAT(ram(layout), testing::ElementsAre(testing::Pair(0, 3 * kGiB)));
}

TEST(MemoryLayout, ContinuesAboveFourGibibytes) {
  const auto layout = lay_out_memory({.memory = 4 * kGiB, .address_bits = 40}).value();
  EXPECT_THAT(ram(layout), testing::ElementsAre(testing::Pair(0, 3 * kGiB), testing::Pair(4 * kGiB, kGiB)));
}

TEST(MemoryLayout, AvoidsWhatTheIommuReserves) {
  const auto layout =
      lay_out_memory({.memory = kGiB, .reserved = {{0xfee00000, 0xfeefffff}, {0x3f000000, 0x3f000fff}}}).value();
  EXPECT_THAT(ram(layout),
              testing::ElementsAre(testing::Pair(0, 0x3f000000), testing::Pair(0x3f200000, kGiB - 0x3f000000)));
}

TEST(MemoryLayout, AvoidsTheHyperTransportRange) {
  const auto layout = lay_out_memory({.memory = 1024 * kGiB, .address_bits = 48}).value();
  for (const auto& range : layout.ram) {
    EXPECT_TRUE(range.gpa.value + range.length <= 1012 * kGiB || range.gpa.value >= 1024 * kGiB);
  }
  EXPECT_EQ(layout.ram.size(), 3U);
}

TEST(MemoryLayout, PutsTheWindowAboveRamOnItsBoundary) {
  const auto layout =
      lay_out_memory(
          {.memory = 5 * kGiB, .window64_length = 48 * kGiB, .window64_alignment = 32 * kGiB, .address_bits = 40})
          .value();
  EXPECT_EQ(layout.window64.base.value, 32 * kGiB);
  EXPECT_EQ(layout.window64.length, 48 * kGiB);
}

TEST(MemoryLayout, HasNoWindowWhenNobodyWantsOne) {
  EXPECT_EQ(lay_out_memory({.memory = kGiB}).value().window64.length, 0U);
}

TEST(MemoryLayout, PutsFilesBetweenRamAndWindow) {
  const auto layout = lay_out_memory({.memory = 5 * kGiB,
                                      .files = {2 * kMiB, 3 * kGiB},
                                      .window64_length = kGiB,
                                      .window64_alignment = kGiB,
                                      .address_bits = 40})
                          .value();
  ASSERT_EQ(layout.files.size(), 2U);
  EXPECT_EQ(layout.files[0].gpa.value, 6 * kGiB);
  EXPECT_EQ(layout.files[1].gpa.value, 7 * kGiB);
  EXPECT_EQ(layout.window64.base.value, 10 * kGiB);
  for (const auto& entry : layout.map) EXPECT_LE(entry.base.value + entry.length, 6 * kGiB) << "not told as RAM";
  EXPECT_EQ(lay_out_memory({.memory = kGiB, .files = {kGiB}}).value().files[0].gpa.value, 4 * kGiB);
}

TEST(MemoryLayout, PutsNoFileIntoTheHyperTransportRange) {
  const auto layout = lay_out_memory({.memory = 1000 * kGiB, .files = {20 * kGiB, kGiB}, .address_bits = 48}).value();
  EXPECT_EQ(layout.files[0].gpa.value, 1024 * kGiB);
  EXPECT_EQ(layout.files[1].gpa.value, 1044 * kGiB);
}

TEST(MemoryLayout, MapsNothingTwice) {
  const auto map = lay_out_memory({.memory = 6 * kGiB, .address_bits = 40}).value().map;
  for (std::size_t index = 1; index < map.size(); ++index) {
    EXPECT_LE(map[index - 1].base.value + map[index - 1].length, map[index].base.value);
  }
  EXPECT_EQ(map.front(), (MapEntry{.base = Gpa{0}, .length = 0xa0000, .type = MapType::ram}));
}

TEST(MemoryLayout, RefusesWhatDoesNotFit) {
  EXPECT_THAT(lay_out_memory({.memory = 128 * kGiB, .address_bits = 36}), FailsWith(Errc::invalid, HasSubstr("36")));
  EXPECT_THAT(lay_out_memory({.memory = 16 * kMiB}), FailsWith(Errc::invalid, HasSubstr("32 MiB")));
  EXPECT_THAT(lay_out_memory({.memory = kGiB + 4096}), FailsWith(Errc::invalid));
  EXPECT_THAT(lay_out_memory({.memory = kGiB, .window64_length = 64 * kGiB, .window64_alignment = 64 * kGiB}),
              FailsWith(Errc::invalid, HasSubstr("BARs")));
  EXPECT_THAT(lay_out_memory({.memory = kGiB, .files = {64 * kGiB}}), FailsWith(Errc::invalid, HasSubstr("a file")));
}

TEST(MemoryLayout, RefusesAReservationWhereTheKernelMustLie) {
  EXPECT_THAT(lay_out_memory({.memory = kGiB, .reserved = {{0, 0xffffff}}}), FailsWith(Errc::refused));
}

TEST(MemoryLayout, LeavesAFirmwareTheRoomFrom2G) {
  const auto layout = lay_out_memory({.memory = 3 * kGiB, .firmware = true}).value();
  ASSERT_EQ(layout.ram.size(), 2U);
  EXPECT_EQ(layout.ram[0].length, 2 * kGiB);
  EXPECT_EQ(layout.ram[1].gpa, Gpa{4 * kGiB});
}

TEST(MemoryLayout, TellsAFirmwareOfNoHoles) {
  const LayoutRequest request{
      .memory = kGiB, .reserved = {{.first = 0x10000000, .last = 0x100fffff}}, .firmware = true};
  EXPECT_THAT(lay_out_memory(request), FailsWith(Errc::refused, HasSubstr("below 2 GiB")));
}

TEST(MemoryLayout, PutsWhatMayComeBetweenFilesAndWindow) {
  const auto layout = lay_out_memory({.memory = kGiB,
                                      .files = {2 * kMiB},
                                      .blocks_length = 3 * kGiB,
                                      .window64_length = kGiB,
                                      .window64_alignment = kGiB,
                                      .address_bits = 40})
                          .value();
  EXPECT_EQ(layout.blocks.gpa.value, 6 * kGiB) << "no memory block of Linux is cut";
  EXPECT_EQ(layout.blocks.length, 3 * kGiB);
  EXPECT_EQ(layout.window64.base.value, 9 * kGiB);
  for (const auto& entry : layout.map) EXPECT_LT(entry.base.value, 4 * kGiB) << "in no map";
  EXPECT_EQ(lay_out_memory({.memory = kGiB}).value().blocks.length, 0U);
}

TEST(MemoryLayout, PutsWhatMayComeWhereDevicesReachIt) {
  const auto layout =
      lay_out_memory(
          {.memory = kGiB, .reserved = {{6 * kGiB, 6 * kGiB + 0xfff}}, .blocks_length = 3 * kGiB, .address_bits = 40})
          .value();
  EXPECT_EQ(layout.blocks.gpa.value, 8 * kGiB);
  const auto high =
      lay_out_memory({.memory = kGiB, .blocks_length = 1020 * kGiB, .address_bits = 48}).value().blocks.gpa.value;
  EXPECT_EQ(high, 1024 * kGiB) << "above HyperTransport";
  EXPECT_THAT(lay_out_memory({.memory = kGiB, .blocks_length = 61 * kGiB, .address_bits = 36}),
              FailsWith(Errc::invalid, HasSubstr("62464 MiB of memory that may come")));
}

}  // namespace
}  // namespace pcivm::vmm
