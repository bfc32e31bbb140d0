// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_loader.hpp"

#include <gmock/gmock.h>

#include <cstring>
#include <map>
#include <numeric>
#include <span>
#include <string>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::FailsWith;
using pcivm::test::IsOk;

using Bytes = std::vector<std::byte>;

// What a firmware does with the files: an independent reading of the script.
class Loader final {
 public:
  struct File {
    Bytes bytes;
    std::uint64_t address{};
    std::uint64_t alignment{};
    std::uint64_t zone{};
  };
  explicit Loader(const AcpiFiles& files)
      : sources_{{"etc/acpi/tables", files.tables}, {"etc/acpi/rsdp", files.rsdp}}, script_{files.loader} {}

  void run(const std::map<std::string, std::uint64_t>& places) {
    ASSERT_EQ(script_.size() % 128, 0U);
    for (std::size_t at = 0; at < script_.size(); at += 128) {
      entry_ = std::span{script_}.subspan(at, 128);
      switch (number(0, 4)) {
        case 1: {
          const auto file = name(4);
          loaded_[file] = {.bytes = sources_.at(file),
                           .address = places.at(file),
                           .alignment = number(60, 4),
                           .zone = number(64, 1)};
          break;
        }
        case 0: break;  // padding
        case 2: add_pointer(); break;
        case 3: add_checksum(); break;
        default: FAIL() << "command " << number(0, 4);
      }
    }
  }
  const File& file(const std::string& file) const { return loaded_.at(file); }

 private:
  std::uint64_t number(std::size_t offset, std::size_t width) const {
    std::uint64_t value = 0;
    std::memcpy(&value, entry_.subspan(offset, width).data(), width);
    return value;
  }
  std::string name(std::size_t offset) const {
    const auto bytes = entry_.subspan(offset, 56);
    EXPECT_EQ(bytes.back(), std::byte{0});
    return static_cast<const char*>(static_cast<const void*>(bytes.data()));
  }
  void add_pointer() {
    auto& file = loaded_.at(name(4));
    const auto& target = loaded_.at(name(60));
    const auto offset = number(116, 4);
    const auto size = number(120, 1);
    std::uint64_t value = 0;
    std::memcpy(&value, &file.bytes.at(offset), size);
    ASSERT_LT(value, target.bytes.size());
    value += target.address;
    std::memcpy(&file.bytes.at(offset), &value, size);
  }
  // Over all bytes as they are, the old checksum included, as firmware does it.
  void add_checksum() {
    auto& file = loaded_.at(name(4));
    const auto part = std::span{file.bytes}.subspan(number(64, 4), number(68, 4));
    const auto sum = std::accumulate(part.begin(), part.end(), 0U, [](unsigned total, std::byte next) {
      return total + std::to_integer<unsigned>(next);
    });
    file.bytes.at(number(60, 4)) = static_cast<std::byte>(0x100U - sum % 0x100U);
  }

  std::map<std::string, Bytes> sources_;
  Bytes script_;
  std::span<const std::byte> entry_;
  std::map<std::string, File> loaded_;
};

AcpiConfig config() {
  return {.apic_ids = {0, 1, 2}, .pci_window64 = platform::Window{.base = {0x800000000}, .length = 0x100000000}};
}

// Moving the tables by the script gives what building them for that place gives.
TEST(AcpiLoader, MovesTheTablesToWhereTheFirmwareHasRoom) {
  const auto files = build_acpi_files(config());
  ASSERT_THAT(files, IsOk());
  Loader loader{*files};
  loader.run({{"etc/acpi/tables", 0x7ffe0000}, {"etc/acpi/rsdp", 0xf5220}});

  auto wanted_config = config();
  wanted_config.address = Gpa{0x7ffe0000};
  const auto wanted = build_acpi_tables(wanted_config);
  ASSERT_THAT(wanted, IsOk());
  auto tables = std::span{loader.file("etc/acpi/tables").bytes}.first(wanted->bytes.size());
  const auto after = std::span{wanted->bytes}.subspan(36);
  EXPECT_TRUE(std::ranges::equal(tables.subspan(36), after));
  EXPECT_THAT(tables.first(36), testing::Each(std::byte{0}));
  EXPECT_TRUE(std::ranges::equal(loader.file("etc/acpi/rsdp").bytes, std::span{wanted->bytes}.first(36)));
}

TEST(AcpiLoader, WantsTheRsdpWhereItIsLookedFor) {
  const auto files = build_acpi_files(config()).value();
  Loader loader{files};
  loader.run({{"etc/acpi/tables", 0x1000}, {"etc/acpi/rsdp", 0xf0000}});
  EXPECT_EQ(loader.file("etc/acpi/rsdp").zone, 2U);
  EXPECT_EQ(loader.file("etc/acpi/rsdp").alignment, 16U);
  EXPECT_EQ(loader.file("etc/acpi/tables").zone, 1U);
  EXPECT_EQ(loader.file("etc/acpi/tables").alignment, 64U);
}

// The size is told in a directory before the firmware has placed BARs.
TEST(AcpiLoader, HasFilesOfOneSizeWhateverTheWindows) {
  auto other = config();
  other.pci_window64.reset();
  other.ecam.reset();
  const auto first = build_acpi_files(config()).value();
  const auto second = build_acpi_files(other).value();
  EXPECT_EQ(first.tables.size(), kAcpiFileRoom);
  EXPECT_EQ(second.tables.size(), kAcpiFileRoom);
  EXPECT_EQ(first.loader.size(), second.loader.size());
  EXPECT_NE(first.loader, second.loader);
  EXPECT_NE(first.tables, second.tables);
}

TEST(AcpiLoader, HasRoomForAllCpus) {
  AcpiConfig many = config();
  many.apic_ids.resize(255);
  std::iota(many.apic_ids.begin(), many.apic_ids.end(), 300U);
  EXPECT_THAT(build_acpi_files(many), IsOk());
}

TEST(AcpiLoader, RefusesWhatMakesNoTables) {
  EXPECT_THAT(build_acpi_files({}), FailsWith(Errc::invalid, testing::HasSubstr("0 vCPUs")));
}

}  // namespace
}  // namespace pcivm::vmm
