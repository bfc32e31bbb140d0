// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/kernel_image.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/units.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kMostNotes = 64 * kKiB;

bool starts_with_elf(std::span<const std::byte> head) {
  constexpr std::byte kMagic[] = {std::byte{0x7f}, std::byte{'E'}, std::byte{'L'}, std::byte{'F'}};
  return head.size() >= sizeof kMagic && std::equal(std::begin(kMagic), std::end(kMagic), head.begin());
}

Result<KernelImage> read_elf(FdRef file, std::span<const std::byte> head, std::uint64_t size) {
  auto elf = TRY(parse_elf(head, size));
  for (const auto& part : elf.notes) {
    std::vector<std::byte> notes(std::min(part.length, kMostNotes));
    TRY(pread_exact(file, part.offset, notes));
    const auto entry = parse_pvh_entry(notes);
    if (!entry) continue;
    const auto inside = [&](const ImageSegment& segment) {
      return *entry >= segment.address && *entry - segment.address < segment.file_length;
    };
    if (std::ranges::none_of(elf.image.segments, inside)) {
      return fail(Errc::invalid, fmt::format("PVH entry point {:#x} is outside the loaded segments", *entry));
    }
    elf.image.entry = *entry;
    return std::move(elf.image);
  }
  return fail(Error::make(Errc::invalid,
                          "an ELF file without a PVH entry note found, an x86-64 Linux vmlinux with "
                          "CONFIG_PVH=y, or a bzImage, wanted")
                  .advise("give the distribution's /boot/vmlinuz"));
}

}  // namespace

Result<KernelImage> read_kernel_image(FdRef file) {
  const auto size = TRY(file_size(file));
  std::vector<std::byte> head(std::min<std::uint64_t>(size, kHeadLength));
  TRY(pread_exact(file, 0, head));
  if (starts_with_elf(head)) return read_elf(file, head, size);
  return parse_bzimage(head, size);
}

}  // namespace pcivm::vmm
