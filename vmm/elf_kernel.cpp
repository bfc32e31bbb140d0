// SPDX-License-Identifier: GPL-2.0-or-later
#include <elf.h>

#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "base/units.hpp"
#include "vmm/kernel_image.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::size_t kMostHeaders = 64;
constexpr std::uint64_t kFirstAddress = kMiB;
constexpr std::uint64_t kEnd32Bit = 4 * kGiB;
constexpr std::uint32_t kPhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr std::string_view kOwner{"Xen\0", 4};

template <class T>
T copy(std::span<const std::byte> from, std::uint64_t offset) {
  T value;
  std::memcpy(&value, from.subspan(offset, sizeof(T)).data(), sizeof(T));
  return value;
}

Result<Elf64_Ehdr> check_header(std::span<const std::byte> head) {
  if (head.size() < sizeof(Elf64_Ehdr)) {
    return fail(Errc::invalid, fmt::format("a truncated ELF file of {} bytes found", head.size()));
  }
  const auto header = copy<Elf64_Ehdr>(head, 0);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    return fail(Errc::invalid, fmt::format("an ELF file of class {} for machine {} found, 64-bit x86-64 wanted",
                                           header.e_ident[EI_CLASS], header.e_machine));
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum > kMostHeaders) {
    return fail(Errc::invalid, fmt::format("{} program headers of {} bytes found, 1 to {} of {} wanted", header.e_phnum,
                                           header.e_phentsize, kMostHeaders, sizeof(Elf64_Phdr)));
  }
  if (!fits(header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr), head.size())) {
    return fail(Errc::invalid, fmt::format("program headers at offset {:#x} found, within the first {} bytes wanted",
                                           header.e_phoff, head.size()));
  }
  return header;
}

Result<void> check_segment(const Elf64_Phdr& entry, std::uint64_t file_size) {
  if (!fits(entry.p_offset, entry.p_filesz, file_size)) {
    return fail(Errc::invalid, fmt::format("a truncated ELF file of {} bytes found, a segment ends at {}", file_size,
                                           entry.p_offset + entry.p_filesz));
  }
  if (entry.p_type != PT_LOAD) return {};
  if (entry.p_filesz > entry.p_memsz) {
    return fail(Errc::invalid,
                fmt::format("a segment of {} bytes in a room of {} found", entry.p_filesz, entry.p_memsz));
  }
  if (entry.p_paddr < kFirstAddress || !fits(entry.p_paddr, entry.p_memsz, kEnd32Bit)) {
    return fail(Errc::invalid, fmt::format("a segment at physical address {:#x} found, from {:#x} to 4 GiB wanted",
                                           entry.p_paddr, kFirstAddress));
  }
  return {};
}

}  // namespace

Result<ElfKernel> parse_elf(std::span<const std::byte> head, std::uint64_t file_size) {
  const auto header = TRY(check_header(head));
  ElfKernel kernel;
  kernel.image.format = KernelImage::Format::pvh;
  kernel.image.initrd_last = kEnd32Bit - 1;
  kernel.image.cmdline_most = 2047;  // COMMAND_LINE_SIZE of x86 Linux less its zero
  for (std::size_t index = 0; index < header.e_phnum; ++index) {
    const auto entry = copy<Elf64_Phdr>(head, header.e_phoff + index * sizeof(Elf64_Phdr));
    if (entry.p_type != PT_LOAD && entry.p_type != PT_NOTE) continue;
    TRY(check_segment(entry, file_size));
    if (entry.p_type == PT_NOTE) {
      kernel.notes.push_back({.offset = entry.p_offset, .length = entry.p_filesz});
    } else if (entry.p_memsz != 0) {
      kernel.image.segments.push_back({.file_offset = entry.p_offset,
                                       .file_length = entry.p_filesz,
                                       .address = entry.p_paddr,
                                       .memory_length = entry.p_memsz});
    }
  }
  if (kernel.image.segments.empty()) return fail(Errc::invalid, "an ELF file without loadable segments found");
  return kernel;
}

Result<std::uint64_t> parse_pvh_entry(std::span<const std::byte> notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    const auto note = copy<Elf64_Nhdr>(notes, 0);
    notes = notes.subspan(sizeof(Elf64_Nhdr));
    const auto name_room = align_up(std::uint64_t{note.n_namesz}, 4);
    const auto value_room = align_up(std::uint64_t{note.n_descsz}, 4);
    if (!fits(name_room, note.n_descsz, notes.size())) break;
    const auto value = notes.subspan(name_room, note.n_descsz);
    const bool ours = note.n_type == kPhys32Entry && note.n_namesz == kOwner.size() &&
                      std::memcmp(notes.data(), kOwner.data(), kOwner.size()) == 0;
    if (ours && value.size() == sizeof(std::uint32_t)) return copy<std::uint32_t>(value, 0);
    if (ours && value.size() == sizeof(std::uint64_t)) return copy<std::uint64_t>(value, 0);
    notes = notes.subspan(std::min<std::uint64_t>(name_room + value_room, notes.size()));
  }
  return fail(Errc::not_found, "no XEN_ELFNOTE_PHYS32_ENTRY note");
}

}  // namespace pcivm::vmm
