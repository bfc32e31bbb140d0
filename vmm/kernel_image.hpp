// SPDX-License-Identifier: GPL-2.0-or-later
// What a kernel file says about itself. The parsers take a bounded copy of its headers and trust nothing in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

/// A piece of the file that goes to guest memory as it is; the rest up to memory_length is zero.
struct ImageSegment {
  std::uint64_t file_offset{};
  std::uint64_t file_length{};
  std::uint64_t address{};  ///< guest physical
  std::uint64_t memory_length{};
};

struct KernelImage {
  enum class Format : std::uint8_t { bzimage, pvh };
  Format format{Format::bzimage};
  std::vector<ImageSegment> segments;   ///< none below 1 MiB; bzimage: one, at its preferred address
  std::uint64_t entry{};                ///< guest physical; bzimage: relative to its segment
  std::uint64_t relocation_step{};      ///< bzimage: it may be moved to a multiple of this; 0 = it may not
  std::uint64_t initrd_last{};          ///< highest address of the initrd
  std::uint64_t cmdline_most{};         ///< bytes without the final zero
  std::vector<std::byte> setup_header;  ///< bzimage: what goes to the zero page from 0x1f1
};

/// Looks at the first bytes of the file and parses it as what they say. Errc::invalid for everything that is no usable
/// kernel, with what was found and what was wanted; the caller names the file.
[[nodiscard]] Result<KernelImage> read_kernel_image(FdRef file);

/// How much of a file's start the parsers see.
inline constexpr std::size_t kHeadLength = 64 * 1024;

/// Documentation/arch/x86/boot.rst: protocol 2.12 or newer with the 64-bit entry point.
[[nodiscard]] Result<KernelImage> parse_bzimage(std::span<const std::byte> head, std::uint64_t file_size);

/// ELF64 for x86-64. The entry is not known yet: it is in one of the notes, whose places are returned beside the image.
struct ElfKernel {
  struct Part {
    std::uint64_t offset{};
    std::uint64_t length{};
  };
  KernelImage image;
  std::vector<Part> notes;
};
[[nodiscard]] Result<ElfKernel> parse_elf(std::span<const std::byte> head, std::uint64_t file_size);

/// The value of XEN_ELFNOTE_PHYS32_ENTRY in a note segment (xen/include/public/elfnote.h); Errc::not_found without one.
[[nodiscard]] Result<std::uint64_t> parse_pvh_entry(std::span<const std::byte> notes);

}  // namespace pcivm::vmm
