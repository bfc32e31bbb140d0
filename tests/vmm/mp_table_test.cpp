// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/mp_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <numeric>
#include <string_view>
#include <vector>

#include "tests/support/result_matchers.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr std::size_t kHeader = 44;
constexpr std::array<std::size_t, 5> kLengths{20, 8, 8, 8, 8};  // of entries, by type

unsigned byte_at(std::span<const std::byte> bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }
unsigned sum(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0U,
                         [](unsigned total, std::byte next) { return total + std::to_integer<unsigned>(next); });
}
// The entries, by type; a type that there is not ends the test.
std::map<unsigned, std::vector<std::span<const std::byte>>> entries_of(std::span<const std::byte> table) {
  std::map<unsigned, std::vector<std::span<const std::byte>>> found;
  for (std::size_t at = kHeader; at < table.size();) {
    const auto type = byte_at(table, at);
    found[type].push_back(table.subspan(at, kLengths.at(type)));
    at += kLengths.at(type);
  }
  return found;
}

const std::vector<std::uint32_t> kTwoCpus{0, 1};

TEST(MpTable, AddsUpToZeroAndCountsItsEntries) {
  const auto table = build_mp_table(kTwoCpus);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(table.data()), 4), "PCMP");
  EXPECT_EQ(sum(table) % 256, 0U);
  EXPECT_EQ(byte_at(table, 4) | byte_at(table, 5) << 8U, table.size());
  std::size_t count = 0;
  for (const auto& [type, entries] : entries_of(table)) count += entries.size();
  EXPECT_EQ(byte_at(table, 34) | byte_at(table, 35) << 8U, count);
}

TEST(MpTable, NamesEachCpuThatHasRoomAndTheFirstAsTheOneThatBoots) {
  const auto table = build_mp_table(std::vector<std::uint32_t>{0, 2, 254, 255, 4096});
  const auto entries = entries_of(table);
  std::vector<std::pair<unsigned, unsigned>> cpus;
  for (const auto entry : entries.at(0)) cpus.emplace_back(byte_at(entry, 1), byte_at(entry, 3));
  EXPECT_THAT(cpus, ElementsAre(Pair(0, 3), Pair(2, 1), Pair(254, 1)));
}

TEST(MpTable, RoutesInterruptsAsAcpiDoes) {
  const auto table = build_mp_table(kTwoCpus);
  const auto entries = entries_of(table);
  std::map<std::pair<unsigned, unsigned>, unsigned> pins;
  for (const auto entry : entries.at(3)) pins[{byte_at(entry, 4), byte_at(entry, 5)}] = byte_at(entry, 7);
  constexpr unsigned kPci = 0;
  constexpr unsigned kIsa = 1;
  EXPECT_EQ((pins[{kIsa, 0}]), platform::gsi::kTimer);
  EXPECT_EQ((pins[{kIsa, 4}]), platform::gsi::kCom1);
  EXPECT_FALSE(pins.contains({kIsa, 2}));
  for (unsigned slot = 0; slot < 32; ++slot) {
    for (unsigned pin = 0; pin < 4; ++pin) EXPECT_EQ((pins[{kPci, slot << 2U | pin}]), platform::gsi::intx(slot, pin));
  }
}

TEST(MpTable, LiesWhereKernelsLook) {
  const auto memory = GuestMemory::create(std::vector<GuestMemory::Range>{{.gpa = {0}, .length = kMiB}});
  ASSERT_TRUE(memory);
  std::vector<std::uint32_t> all(255);
  std::iota(all.begin(), all.end(), 0U);
  ASSERT_TRUE(write_mp_table(*memory, all));
  const auto pointer = memory->read<std::array<std::byte, 16>>(platform::kMpPointer);
  ASSERT_TRUE(pointer);
  EXPECT_EQ(std::memcmp(pointer->data(), "_MP_", 4), 0);
  EXPECT_EQ(sum(*pointer) % 256, 0U);
  std::uint32_t table = 0;
  std::memcpy(&table, &(*pointer)[4], sizeof table);
  EXPECT_EQ(table, platform::kMpTable.value);
  const auto start = memory->read<std::array<char, 4>>(platform::kMpTable);
  ASSERT_TRUE(start);
  EXPECT_EQ(std::string_view(start->data(), start->size()), "PCMP");
}

TEST(MpTable, MoreThanThereIsRoomForIsRefused) {
  const auto memory = GuestMemory::create(std::vector<GuestMemory::Range>{{.gpa = {0}, .length = kMiB}});
  ASSERT_TRUE(memory);
  EXPECT_THAT(write_mp_table(*memory, std::vector<std::uint32_t>(500, 1)),
              test::FailsWith(Errc::invalid, testing::HasSubstr("wanted at most")));
}

}  // namespace
}  // namespace pcivm::vmm
