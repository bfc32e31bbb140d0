// SPDX-License-Identifier: GPL-2.0-or-later
#include <bit>

#include <fmt/format.h>

#include "base/pci_config.hpp"
#include "base/units.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/kernel_image.hpp"

namespace pcivm::vmm {

namespace {

// Offsets of the setup header in the file and in the zero page (Documentation/arch/x86/boot.rst).
constexpr std::size_t kSetupSectors = 0x1f1;
constexpr std::size_t kPayloadParagraphs = 0x1f4;
constexpr std::size_t kBootFlag = 0x1fe;
constexpr std::size_t kJumpDistance = 0x201;
constexpr std::size_t kMagic = 0x202;
constexpr std::size_t kVersion = 0x206;
constexpr std::size_t kInitrdLast = 0x22c;
constexpr std::size_t kAlignment = 0x230;
constexpr std::size_t kRelocatable = 0x234;
constexpr std::size_t kLoadFlags64 = 0x236;
constexpr std::size_t kCmdlineSize = 0x238;
constexpr std::size_t kPreferred = 0x258;
constexpr std::size_t kInitSize = 0x260;
constexpr std::size_t kHeaderMost = 0x290;  // the zero page's room for it

constexpr std::uint32_t kHdrS = 0x53726448;
constexpr std::uint32_t kOldestVersion = 0x020c;
constexpr std::uint32_t kKernel64Bit = 1;  // XLF_KERNEL_64
constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kEntry64 = 0x200;

std::uint64_t field(std::span<const std::byte> head, std::size_t offset, std::size_t width) {
  return load_le(head.subspan(offset, width));
}

Result<void> check_header(std::span<const std::byte> head) {
  if (head.size() < kHeaderMost) {
    return fail(Errc::invalid,
                fmt::format("a file of {} bytes found, a bzImage or an ELF vmlinux wanted", head.size()));
  }
  if (field(head, kBootFlag, 2) != 0xaa55 || field(head, kMagic, 4) != kHdrS) {
    return fail(Error::make(Errc::invalid, "neither a bzImage (\"HdrS\" at 0x202) nor an ELF file found")
                    .advise("give an x86-64 Linux kernel, for example /boot/vmlinuz"));
  }
  const auto version = field(head, kVersion, 2);
  if (version < kOldestVersion) {
    return fail(Errc::invalid, fmt::format("boot protocol {}.{:02} found, 2.12 or newer (Linux 3.8) wanted",
                                           version >> 8U, version & 0xffU));
  }
  if ((field(head, kLoadFlags64, 2) & kKernel64Bit) == 0) {
    return fail(Errc::invalid, "a kernel without 64-bit entry point found, an x86-64 kernel wanted");
  }
  return {};
}

}  // namespace

Result<KernelImage> parse_bzimage(std::span<const std::byte> head, std::uint64_t file_size) {
  TRY(check_header(head));
  const auto sectors = field(head, kSetupSectors, 1);
  const auto payload = ((sectors == 0 ? 4 : sectors) + 1) * kSector;
  const auto wanted = payload + field(head, kPayloadParagraphs, 4) * 16;
  if (file_size <= payload + kEntry64 || file_size + 15 < wanted) {
    return fail(Errc::invalid,
                fmt::format("a truncated bzImage of {} bytes found, {} bytes wanted", file_size, wanted));
  }
  KernelImage image;
  image.format = KernelImage::Format::bzimage;
  image.entry = kEntry64;
  const auto init_size = field(head, kInitSize, 4);
  image.segments.push_back({.file_offset = payload,
                            .file_length = file_size - payload,
                            .address = field(head, kPreferred, 8),
                            .memory_length = std::max(init_size, file_size - payload)});
  const auto alignment = field(head, kAlignment, 4);
  if (field(head, kRelocatable, 1) != 0) {
    if (!std::has_single_bit(alignment)) {
      return fail(Errc::invalid, fmt::format("kernel alignment {:#x} found, a power of two wanted", alignment));
    }
    image.relocation_step = std::max(alignment, kMiB);
  }
  image.initrd_last = field(head, kInitrdLast, 4);
  image.cmdline_most = field(head, kCmdlineSize, 4);
  const auto header_end = std::min(kMagic + field(head, kJumpDistance, 1), kHeaderMost);
  const auto header = head.subspan(kSetupSectors, header_end - kSetupSectors);
  image.setup_header.assign(header.begin(), header.end());
  return image;
}

}  // namespace pcivm::vmm
