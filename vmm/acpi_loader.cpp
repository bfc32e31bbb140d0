// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_loader.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "vmm/acpi_structures.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::size_t kNameRoom = 56;
constexpr std::size_t kEntryLength = 128;  // of a command with its padding
constexpr std::uint32_t kHighZone = 1;
constexpr std::uint32_t kLowZone = 2;  // where an operating system looks for an RSDP
constexpr std::size_t kChecksumOffset = 9;
constexpr std::size_t kRsdpXsdtOffset = 24;
constexpr std::size_t kRsdpChecksumOffset = 32;  // of the whole structure

// One command after the other; fields are little-endian and packed.
class Script final {
 public:
  void allocate(std::string_view file, std::uint32_t alignment, std::uint32_t zone) {
    begin(1);
    name(file);
    number(alignment, 4);
    number(zone, 1);
  }
  void add_pointer(std::string_view pointer_file, std::string_view pointee_file, std::uint32_t offset,
                   std::uint32_t size) {
    begin(2);
    name(pointer_file);
    name(pointee_file);
    number(offset, 4);
    number(size, 1);
  }
  void add_checksum(std::string_view file, std::uint32_t offset, std::uint32_t start, std::uint32_t length) {
    begin(3);
    name(file);
    number(offset, 4);
    number(start, 4);
    number(length, 4);
  }
  std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  void begin(std::uint32_t command) {
    at_ = bytes_.size();
    bytes_.resize(at_ + kEntryLength);
    number(command, 4);
  }
  void name(std::string_view text) {
    std::ranges::copy(std::as_bytes(std::span{text}), bytes_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ += kNameRoom;
  }
  void number(std::uint32_t value, unsigned width) {
    store_le(std::span{bytes_}.subspan(at_, width), value);
    at_ += width;
  }
  std::vector<std::byte> bytes_;
  std::size_t at_{};
};

}  // namespace

// The tables are built as if they lay at 0, so that each address in them is an offset into their own file, which is
// what the loader adds the file's place to. Checksums that change with an address are computed by the loader over a
// zero.
Result<AcpiFiles> build_acpi_files(AcpiConfig config) {
  config.address = Gpa{0};
  config.room = kAcpiFileRoom;
  auto built = TRY(build_acpi_tables(config));
  AcpiFiles files{.tables = std::move(built.bytes), .rsdp = {}, .loader = {}};
  const auto rsdp = std::span{files.tables}.subspan(built.rsdp.value, sizeof(acpi::Rsdp));
  files.rsdp.assign(rsdp.begin(), rsdp.end());
  std::ranges::fill(rsdp, std::byte{0});  // one is enough
  files.rsdp[kRsdpChecksumOffset] = std::byte{0};

  Script script;
  script.allocate(kAcpiRsdpFile, 16, kLowZone);
  script.allocate(kAcpiTablesFile, 64, kHighZone);
  for (const auto& pointer : built.pointers) {
    script.add_pointer(kAcpiTablesFile, kAcpiTablesFile, pointer.offset, pointer.size);
  }
  for (const auto& table : built.with_pointers) {
    files.tables[table.offset + kChecksumOffset] = std::byte{0};
    script.add_checksum(kAcpiTablesFile, table.offset + kChecksumOffset, table.offset, table.size);
  }
  script.add_pointer(kAcpiRsdpFile, kAcpiTablesFile, kRsdpXsdtOffset, 8);
  script.add_checksum(kAcpiRsdpFile, kRsdpChecksumOffset, 0, sizeof(acpi::Rsdp));
  files.loader = std::move(script).take();
  files.loader.resize(kAcpiLoaderRoom);  // a command of zero is none
  files.tables.resize(kAcpiFileRoom);
  return files;
}

}  // namespace pcivm::vmm
