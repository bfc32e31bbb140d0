// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/boot_params.hpp"

#include <asm/bootparam.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

// Inside kBootArea.
constexpr Gpa kStartInfo{0x6000};
constexpr Gpa kModules{0x6080};
constexpr Gpa kMemoryMap{0x6100};
constexpr std::size_t kMostMapEntries = 96;
constexpr Gpa kZeroPage{0x8000};
constexpr Gpa kCmdline{0x20000};

constexpr std::uint8_t kUndefinedLoader = 0xff;
constexpr std::uint16_t kVideoNormal = 0xffff;
constexpr std::size_t kSetupHeaderOffset = 0x1f1;

struct StartInfo {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t flags;
  std::uint32_t modules;
  std::uint64_t module_list;
  std::uint64_t cmdline;
  std::uint64_t rsdp;
  std::uint64_t memory_map;
  std::uint32_t memory_map_entries;
  std::uint32_t reserved;
};
static_assert(sizeof(StartInfo) == 56);
constexpr std::uint32_t kStartMagic = 0x336ec578;

struct StartModule {
  std::uint64_t address;
  std::uint64_t size;
  std::uint64_t cmdline;
  std::uint64_t reserved;
};

struct StartMapEntry {
  std::uint64_t base;
  std::uint64_t length;
  std::uint32_t type;
  std::uint32_t reserved;
};
static_assert(sizeof(StartMapEntry) == 24);

Result<void> write_cmdline(const GuestMemory& memory, const std::string& text) {
  const auto room = TRY(memory.window(kCmdline, text.size() + 1));
  std::memcpy(room.data(), text.c_str(), text.size() + 1);
  return {};
}

Result<void> check_map(std::size_t found, std::size_t most) {
  if (found <= most) return {};
  return fail(Errc::invalid, fmt::format("a memory map of {} entries found, at most {} wanted", found, most));
}

}  // namespace

Result<Gpa> write_zero_page(const GuestMemory& memory, const BootPlan& plan, const BootFacts& facts) {
  TRY(check_map(facts.map.size(), E820_MAX_ENTRIES_ZEROPAGE));
  TRY(write_cmdline(memory, facts.cmdline));
  boot_params params{};
  static_assert(offsetof(boot_params, hdr) == kSetupHeaderOffset && sizeof(boot_params) == kPageSize);
  std::memcpy(&params.hdr, plan.image.setup_header.data(),
              std::min(plan.image.setup_header.size(), sizeof(params.hdr)));
  params.hdr.type_of_loader = kUndefinedLoader;
  params.hdr.vid_mode = kVideoNormal;
  params.hdr.cmd_line_ptr = static_cast<std::uint32_t>(kCmdline.value);
  params.hdr.ramdisk_image = static_cast<std::uint32_t>(plan.initrd.value);
  params.hdr.ramdisk_size = static_cast<std::uint32_t>(plan.initrd_length);
  params.hdr.code32_start = static_cast<std::uint32_t>(plan.image.segments.front().address + plan.relocation);
  params.hdr.setup_data = 0;
  params.acpi_rsdp_addr = facts.rsdp.value;
  for (const auto& entry : facts.map) {
    auto& slot = params.e820_table[params.e820_entries++];
    slot.addr = entry.base.value;
    slot.size = entry.length;
    slot.type = static_cast<std::uint32_t>(entry.type);
  }
  TRY(memory.write(kZeroPage, params));
  return kZeroPage;
}

Result<Gpa> write_start_info(const GuestMemory& memory, const BootPlan& plan, const BootFacts& facts) {
  TRY(check_map(facts.map.size(), kMostMapEntries));
  TRY(write_cmdline(memory, facts.cmdline));
  StartInfo info{};
  info.magic = kStartMagic;
  info.version = 1;
  info.cmdline = kCmdline.value;
  info.rsdp = facts.rsdp.value;
  info.memory_map = kMemoryMap.value;
  if (plan.initrd_length != 0) {
    info.modules = 1;
    info.module_list = kModules.value;
    const StartModule initrd{.address = plan.initrd.value, .size = plan.initrd_length, .cmdline = 0, .reserved = 0};
    TRY(memory.write(kModules, initrd));
  }
  for (const auto& entry : facts.map) {
    const StartMapEntry slot{.base = entry.base.value,
                             .length = entry.length,
                             .type = static_cast<std::uint32_t>(entry.type),
                             .reserved = 0};
    TRY(memory.write(kMemoryMap + info.memory_map_entries++ * sizeof slot, slot));
  }
  TRY(memory.write(kStartInfo, info));
  return kStartInfo;
}

}  // namespace pcivm::vmm
