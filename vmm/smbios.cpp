// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/smbios.hpp"

#include <cpuid.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "vmm/checksum.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::string_view kMaker{"pcivm"};
constexpr std::uint16_t kNoHandle{0xffff};
constexpr std::uint16_t kNoErrorHandle{0xfffe};

/// Handles: one for each structure that another names.
enum class Handle : std::uint16_t { chassis = 0x300, processor = 0x400, array = 0x1000, module = 0x1100 };

/// One structure: a formatted area and its strings (6.1.3). Strings are numbered from 1 in the order they come.
class Structure final {
 public:
  Structure(std::uint8_t type, std::uint16_t handle) {
    number(type);
    number(std::uint8_t{});  // the length, known at the end
    number(handle);
  }
  Structure(std::uint8_t type, Handle handle) : Structure{type, static_cast<std::uint16_t>(handle)} {}

  template <class T>
  Structure& number(T value) {
    fields_.resize(fields_.size() + sizeof value);
    store_le(std::span{fields_}.last(sizeof value), value);
    return *this;
  }
  Structure& bytes(std::initializer_list<unsigned> values) {
    for (const auto value : values) number(static_cast<std::uint8_t>(value));
    return *this;
  }
  Structure& handle(Handle value) { return number(static_cast<std::uint16_t>(value)); }
  Structure& text(std::string_view value) {
    if (value.empty()) return number(std::uint8_t{});
    strings_ += value;
    strings_ += '\0';
    return number(++count_);
  }
  void append_to(Bytes& table) && {
    fields_[1] = static_cast<std::byte>(fields_.size());
    table.insert(table.end(), fields_.begin(), fields_.end());
    if (strings_.empty()) strings_ += '\0';
    strings_ += '\0';
    std::ranges::copy(std::as_bytes(std::span{strings_}), std::back_inserter(table));
  }

 private:
  Bytes fields_{};
  std::string strings_{};
  std::uint8_t count_{};
};

void add_firmware(Bytes& table) {
  Structure firmware{0, 0};
  firmware.text(kMaker).text("1").bytes({0, 0}).text("01/01/2026").bytes({0});
  firmware.number(std::uint64_t{1} << 3U);            // characteristics are not told
  firmware.bytes({0, 0x10, 1, 0, 0xff, 0xff, 0, 0});  // a virtual machine; release 1.0, no embedded controller
  std::move(firmware).append_to(table);
}

void add_system(Bytes& table, const SmbiosConfig& config) {
  Structure system{1, 0x100};
  system.text(kMaker).text("Virtual machine").text("1").text(config.name);
  for (const auto byte : config.uuid) system.number(byte);
  system.bytes({6});  // woken by the power switch
  system.text({}).text({});
  std::move(system).append_to(table);
}

void add_chassis(Bytes& table) {
  Structure chassis{3, Handle::chassis};
  chassis.text(kMaker).bytes({1}).text({}).text({}).text({});  // type: other
  chassis.bytes({3, 3, 3, 3}).number(std::uint32_t{});         // states: safe; security: none
  chassis.bytes({0, 0, 0, 0});
  chassis.text({});
  std::move(chassis).append_to(table);
}

// One socket.
void add_processor(Bytes& table, const SmbiosConfig& config, unsigned socket) {
  const auto cores = config.cpus.cores;
  const auto threads = config.cpus.per_socket();
  const auto few = [](unsigned count) { return std::min(count, 0xffU); };
  Structure processor{4, static_cast<std::uint16_t>(static_cast<unsigned>(Handle::processor) + socket)};
  processor.text(fmt::format("CPU {}", socket))
      .bytes({3, 0xfe})
      .text(config.cpu_vendor);  // central; family in the second field
  processor.number(config.cpu_id[0]).number(config.cpu_id[1]).text(config.cpu_brand);
  processor.bytes({0}).number(std::uint16_t{}).number(std::uint16_t{}).number(std::uint16_t{});  // clocks: unknown
  processor.bytes({0x41, 1});  // there, enabled; upgrade: other
  processor.number(kNoHandle).number(kNoHandle).number(kNoHandle);
  processor.text({}).text({}).text({}).bytes({few(cores), few(cores), few(threads)});
  processor.number(static_cast<std::uint16_t>((cores > 1 ? 0x08U : 0U) | (threads > cores ? 0x10U : 0U) |
                                              0x04U));  // 64-bit; several cores, threads
  processor.number(std::uint16_t{1});                   // family: other
  for (const auto count : {cores, cores, threads}) processor.number(static_cast<std::uint16_t>(count));
  std::move(processor).append_to(table);
}

std::uint64_t size_of(std::span<const GuestMemory::Range> ram) {
  std::uint64_t sum = 0;
  for (const auto& range : ram) sum += range.length;
  return sum;
}

// One module of all memory: where it lies is in the ranges.
void add_memory(Bytes& table, const SmbiosConfig& config) {
  const auto size = size_of(config.ram);
  constexpr std::uint32_t kInWideField = 0x80000000;
  const bool wide = size / kKiB >= kInWideField;
  Structure array{16, Handle::array};
  array.bytes({1, 3, 3}).number(wide ? kInWideField
                                     : static_cast<std::uint32_t>(size / kKiB));  // system memory, no ECC
  array.number(kNoErrorHandle).number(std::uint16_t{1}).number(wide ? size : 0);
  std::move(array).append_to(table);

  constexpr std::uint16_t kInLongField = 0x7fff;
  const bool large = size / kMiB >= kInLongField;
  Structure module{17, Handle::module};
  module.handle(Handle::array).number(kNoErrorHandle).number(std::uint16_t{64}).number(std::uint16_t{64});
  module.number(large ? kInLongField : static_cast<std::uint16_t>(size / kMiB)).bytes({9, 0});  // a DIMM
  module.text("DIMM 0").text({}).bytes({7}).number(std::uint16_t{2}).number(std::uint16_t{});   // RAM; detail: other
  module.text(kMaker).text({}).text({}).text({}).bytes({0});
  module.number(large ? static_cast<std::uint32_t>(size / kMiB) : 0).number(std::uint16_t{});
  module.number(std::uint16_t{}).number(std::uint16_t{}).number(std::uint16_t{});  // voltages: unknown
  std::move(module).append_to(table);

  std::uint16_t handle = 0x1300;
  for (const auto& range : config.ram) {
    const auto last = range.gpa.value + range.length - 1;
    const bool far = last / kKiB > std::numeric_limits<std::uint32_t>::max() - 1;
    Structure mapped{19, handle++};
    mapped.number(far ? 0xffffffffU : static_cast<std::uint32_t>(range.gpa.value / kKiB));
    mapped.number(far ? 0xffffffffU : static_cast<std::uint32_t>(last / kKiB));
    mapped.handle(Handle::array).bytes({1}).number(far ? range.gpa.value : 0).number(far ? last : 0);
    std::move(mapped).append_to(table);
  }
}

void add_boot_state(Bytes& table) {
  Structure boot{32, 0x2000};
  boot.bytes({0, 0, 0, 0, 0, 0, 0});  // reserved; no error
  std::move(boot).append_to(table);
}

struct [[gnu::packed]] EntryPoint {
  std::array<char, 5> anchor{'_', 'S', 'M', '3', '_'};
  std::uint8_t checksum{};
  std::uint8_t length{24};
  std::uint8_t major{3};
  std::uint8_t minor{2};
  std::uint8_t revision_of_document{};
  std::uint8_t revision{1};
  std::uint8_t reserved{};
  std::uint32_t size{};
  std::uint64_t address{};
};
static_assert(sizeof(EntryPoint) == 24);

}  // namespace

void describe_cpu(SmbiosConfig& config) {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  const auto add = [](std::string& text, std::initializer_list<unsigned> registers) {
    for (const auto value : registers) {
      for (unsigned shift = 0; shift < 32; shift += 8) text += static_cast<char>(value >> shift);
    }
  };
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) != 0) add(config.cpu_vendor, {ebx, edx, ecx});
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) config.cpu_id = {eax, edx};
  for (const unsigned leaf : {0x80000002U, 0x80000003U, 0x80000004U}) {
    if (__get_cpuid(leaf, &eax, &ebx, &ecx, &edx) != 0) add(config.cpu_brand, {eax, ebx, ecx, edx});
  }
  config.cpu_brand.resize(::strnlen(config.cpu_brand.data(), config.cpu_brand.size()));
}

SmbiosTables build_smbios(const SmbiosConfig& config, Gpa structures) {
  Bytes table;
  add_firmware(table);
  add_system(table, config);
  add_chassis(table);
  for (unsigned socket = 0; socket < config.cpus.sockets; ++socket) add_processor(table, config, socket);
  add_memory(table, config);
  add_boot_state(table);
  Structure{127, 0x7f00}.append_to(table);

  const EntryPoint entry{.size = static_cast<std::uint32_t>(table.size()), .address = structures.value};
  SmbiosTables tables{.structures = std::move(table), .entry = {}};
  std::memcpy(tables.entry.data(), &entry, sizeof entry);
  tables.entry[offsetof(EntryPoint, checksum)] = checksum(tables.entry);
  return tables;
}

Result<void> write_smbios(const GuestMemory& memory, const SmbiosConfig& config) {
  constexpr std::uint64_t kEntryRoom = 32;
  const auto tables = build_smbios(config, platform::kSmbios + kEntryRoom);
  if (tables.structures.size() > platform::kSmbiosRoom - kEntryRoom) {
    return fail(Errc::invalid, fmt::format("SMBIOS tables take {} bytes, wanted at most {}", tables.structures.size(),
                                           platform::kSmbiosRoom - kEntryRoom));
  }
  const auto room = TRY(memory.window(platform::kSmbios, kEntryRoom + tables.structures.size()));
  std::ranges::copy(tables.entry, room.begin());
  std::ranges::copy(tables.structures, room.begin() + kEntryRoom);
  return {};
}

}  // namespace pcivm::vmm
