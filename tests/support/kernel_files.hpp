// SPDX-License-Identifier: GPL-2.0-or-later
// Synthetic kernel files, small and valid; a test spoils the one field it is about.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/fd.hpp"

namespace pcivm::test {

/// One setup sector after the boot sector, then 4 KiB of payload.
class BzImage {
 public:
  BzImage() : bytes_(1024 + 4096) {
    put(0x1f1, 1, 1);                // setup_sects
    put(0x1f4, 4096 / 16, 4);        // syssize
    put(0x1fe, 0xaa55, 2);           // boot_flag
    put(0x201, 0x6a, 1);             // jump: end of the header
    put(0x202, 0x53726448, 4);       // "HdrS"
    put(0x206, 0x020f, 2);           // version
    put(0x22c, 0x7fffffff, 4);       // initrd_addr_max
    put(0x230, 0x200000, 4);         // kernel_alignment
    put(0x234, 1, 1);                // relocatable_kernel
    put(0x236, 1, 2);                // XLF_KERNEL_64
    put(0x238, 2047, 4);             // cmdline_size
    put(0x258, 0x1000000, 8);        // pref_address
    put(0x260, 8 * 1024 * 1024, 4);  // init_size
    for (std::size_t at = 1024; at < bytes_.size(); ++at) bytes_[at] = static_cast<std::byte>(at);
  }
  void put(std::size_t offset, std::uint64_t value, std::size_t width) {
    std::memcpy(bytes_.data() + offset, &value, width);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] Fd file() const {
    auto file = make_memfd("bzimage", bytes_.size()).value();
    (void)pwrite_exact(file.ref(), 0, bytes_);
    return file;
  }

 private:
  std::vector<std::byte> bytes_;
};

/// One loadable segment of 4 KiB in 12 KiB of memory, one note with the PVH entry.
class ElfImage {
 public:
  static constexpr std::uint64_t kAddress = 0x1000000;

  ElfImage() {
    std::memcpy(layout_.header.e_ident, ELFMAG, SELFMAG);
    layout_.header.e_ident[EI_CLASS] = ELFCLASS64;
    layout_.header.e_ident[EI_DATA] = ELFDATA2LSB;
    layout_.header.e_machine = EM_X86_64;
    layout_.header.e_phoff = offsetof(Layout, load);
    layout_.header.e_phentsize = sizeof(Elf64_Phdr);
    layout_.header.e_phnum = 2;
    layout_.load.p_type = PT_LOAD;
    layout_.load.p_offset = offsetof(Layout, payload);
    layout_.load.p_filesz = sizeof(Layout::payload);
    layout_.load.p_memsz = 0x3000;
    layout_.load.p_paddr = kAddress;
    layout_.notes.p_type = PT_NOTE;
    layout_.notes.p_offset = offsetof(Layout, note);
    layout_.notes.p_filesz = offsetof(Layout, payload) - offsetof(Layout, note);
    layout_.note.n_namesz = 4;
    layout_.note.n_descsz = 8;
    layout_.note.n_type = 18;
    std::memcpy(layout_.owner, "Xen", 4);
    layout_.entry = kAddress + 0x10;
    std::memset(layout_.payload, 0x5a, sizeof layout_.payload);
  }
  Elf64_Ehdr& header() { return layout_.header; }
  Elf64_Phdr& load() { return layout_.load; }
  Elf64_Nhdr& note() { return layout_.note; }
  std::uint64_t& entry() { return layout_.entry; }
  [[nodiscard]] Fd file() const {
    auto file = make_memfd("vmlinux", sizeof layout_).value();
    (void)pwrite_exact(file.ref(), 0, std::as_bytes(std::span{&layout_, 1}));
    return file;
  }

 private:
  struct Layout {
    Elf64_Ehdr header{};
    Elf64_Phdr load{};
    Elf64_Phdr notes{};
    Elf64_Nhdr note{};
    char owner[4]{};
    std::uint64_t entry{};
    unsigned char payload[4096]{};
  };
  static_assert(offsetof(Layout, entry) == offsetof(Layout, owner) + 4);
  Layout layout_;
};

}  // namespace pcivm::test
