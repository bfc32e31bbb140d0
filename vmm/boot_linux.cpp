// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/boot_linux.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/parallel.hpp"
#include "vmm/boot_params.hpp"

namespace pcivm::vmm {

namespace {

// Inside kBootArea, ascending.
constexpr Gpa kGdt{0x5000};
constexpr Gpa kPageTables{0x9000};  // PML4, PDPT, four page directories
constexpr unsigned kDirectories = 4;
constexpr std::uint64_t kEntriesPerTable = 512;
constexpr std::uint64_t kPresentWritable = 3;
constexpr std::uint64_t kLargePage = 1U << 7U;

constexpr std::uint64_t kCode64 = 0x00af9b000000ffff;
constexpr std::uint64_t kCode32 = 0x00cf9b000000ffff;
constexpr std::uint64_t kData = 0x00cf93000000ffff;
constexpr std::uint64_t kTask = 0x00008b0000000067;

// Of files that are read by several threads; a tiny kernel is read by one.
constexpr std::uint64_t kPieceLength = 4 * kMiB;
constexpr std::size_t kPiecesForAThread = 2;
constexpr std::size_t kMostReaders = 4;

struct Extent {
  std::uint64_t begin;
  std::uint64_t end;
};

bool inside(const Extent& what, const GuestMemory::Range& range) {
  return what.begin >= range.gpa.value && what.end >= what.begin &&
         fits(what.begin - range.gpa.value, what.end - what.begin, range.length);
}

bool in_ram(const Extent& what, std::span<const GuestMemory::Range> ram) {
  return what.begin >= kMiB && std::ranges::any_of(ram, [&](const auto& range) { return inside(what, range); });
}

Extent extent_of(const ImageSegment& segment) {
  // An address near 2^64 wraps to an end below the begin, which in_ram() refuses.
  return {segment.address, segment.address + segment.memory_length};
}

// The preferred address where there is RAM, else the lowest that the kernel accepts.
Result<std::uint64_t> choose_relocation(const KernelImage& image, std::span<const GuestMemory::Range> ram) {
  const auto& segment = image.segments.front();
  if (in_ram(extent_of(segment), ram)) return 0U;
  if (image.relocation_step != 0) {
    const auto begin = align_up(kMiB, image.relocation_step);
    if (in_ram({begin, begin + segment.memory_length}, ram.first(1))) return begin - segment.address;
  }
  return fail(
      Error::make(Errc::invalid,
                  fmt::format("the kernel needs {} MiB of RAM at {:#x} while it starts, the guest has {} MiB",
                              (segment.memory_length + kMiB - 1) / kMiB, segment.address, ram.front().length / kMiB))
          .advise("give it more --memory"));
}

// As high as possible below 4 GiB and below the kernel's limit: far from where the kernel unpacks itself.
Result<Gpa> place_initrd(const KernelImage& image, std::span<const Extent> taken, std::uint64_t length,
                         std::span<const GuestMemory::Range> ram) {
  const auto limit = std::min(image.initrd_last, 4 * kGiB - 1) + 1;
  for (auto range = ram.rbegin(); range != ram.rend(); ++range) {
    const auto end = std::min(limit, range->gpa.value + range->length);
    if (end < length) continue;
    const Extent place{align_down(end - length, kPageSize), align_down(end - length, kPageSize) + length};
    const auto overlaps = [&](const Extent& other) { return place.begin < other.end && other.begin < place.end; };
    if (place.begin >= kMiB && inside(place, *range) && std::ranges::none_of(taken, overlaps)) return Gpa{place.begin};
  }
  return fail(Error::make(Errc::invalid,
                          fmt::format("no room for an initrd of {} MiB beside the kernel", (length + kMiB - 1) / kMiB))
                  .advise("give it more --memory"));
}

/// A part of a file and where it goes.
struct Piece {
  FdRef file;
  std::string_view what;
  std::uint64_t offset{};
  std::span<std::byte> room;
};

// Cut where pieces end in guest memory, so that no two threads wait for one huge page.
void add_pieces(std::vector<Piece>& pieces, Gpa address, Piece whole) {
  while (!whole.room.empty()) {
    const auto until_cut = kPieceLength - address.value % kPieceLength;
    const auto length = std::min<std::uint64_t>(until_cut, whole.room.size());
    pieces.push_back(whole);
    pieces.back().room = whole.room.first(length);
    whole.room = whole.room.subspan(length);
    whole.offset += length;
    address = address + length;
  }
}

// Copying a kernel that is not compressed, and making the pages that it goes to, is most of a start.
Result<void> read_pieces(const std::vector<Piece>& pieces) {
  const auto most = std::min<std::size_t>(kMostReaders, std::thread::hardware_concurrency());
  return in_parallel(
      pieces.size(), std::min(most, pieces.size() / kPiecesForAThread), [&pieces](std::size_t index) -> Result<void> {
        const auto& piece = pieces[index];
        TRY_IN(pread_exact(piece.file, piece.offset, piece.room), fmt::format("load the {}", piece.what));
        return {};
      });
}

}  // namespace

Result<BootPlan> plan_boot(KernelImage image, std::uint64_t initrd_length, std::uint64_t cmdline_length,
                           std::span<const GuestMemory::Range> ram) {
  const auto most = std::min<std::uint64_t>(image.cmdline_most, kCmdlineRoom - 1);
  if (cmdline_length > most) {
    return fail(Errc::invalid,
                fmt::format("a command line of {} bytes found, at most {} wanted", cmdline_length, most));
  }
  BootPlan plan{.image = std::move(image), .relocation = 0, .initrd = {}, .initrd_length = initrd_length};
  if (plan.image.format == KernelImage::Format::bzimage) {
    plan.relocation = TRY(choose_relocation(plan.image, ram));
  }
  std::vector<Extent> taken;
  for (const auto& segment : plan.image.segments) {
    auto moved = segment;
    moved.address += plan.relocation;
    taken.push_back(extent_of(moved));
    if (in_ram(taken.back(), ram)) continue;
    return fail(Error::make(Errc::invalid, fmt::format("the kernel wants RAM from {:#x} to {:#x}, the guest has {} MiB",
                                                       taken.back().begin, taken.back().end, ram.front().length / kMiB))
                    .advise("give it more --memory"));
  }
  if (initrd_length != 0) plan.initrd = TRY(place_initrd(plan.image, taken, initrd_length, ram));
  return plan;
}

Result<void> write_cpu_tables(const GuestMemory& memory, CpuState& state) {
  const bool long_mode = state.mode == CpuState::Mode::long64;
  const std::array<std::uint64_t, 5> gdt{0, 0, long_mode ? kCode64 : kCode32, kData, kTask};
  TRY(memory.write(kGdt, gdt));
  state.gdt = kGdt;
  if (!long_mode) return {};

  std::array<std::uint64_t, kEntriesPerTable> table{};
  const auto directories = kPageTables + 2 * kPageSize;
  table[0] = (kPageTables + kPageSize).value | kPresentWritable;
  TRY(memory.write(kPageTables, table));
  table = {};
  for (unsigned index = 0; index < kDirectories; ++index) {
    table.at(index) = (directories + index * kPageSize).value | kPresentWritable;
  }
  TRY(memory.write(kPageTables + kPageSize, table));
  for (unsigned index = 0; index < kDirectories; ++index) {
    for (std::uint64_t entry = 0; entry < kEntriesPerTable; ++entry) {
      table.at(entry) = (index * kEntriesPerTable + entry) * 2 * kMiB | kPresentWritable | kLargePage;
    }
    TRY(memory.write(directories + index * kPageSize, table));
  }
  state.page_tables = kPageTables;
  return {};
}

Result<CpuState> load_linux(const GuestMemory& memory, const BootPlan& plan, const BootFiles& files,
                            const BootFacts& facts) {
  const bool pvh = plan.image.format == KernelImage::Format::pvh;
  std::vector<Piece> pieces;
  for (const auto& segment : plan.image.segments) {
    const Gpa address{segment.address + plan.relocation};
    const auto room = TRY(memory.window(address, segment.memory_length));
    add_pieces(pieces, address, {files.kernel, "kernel", segment.file_offset, room.first(segment.file_length)});
    // A restarted guest finds its old memory; what lies behind the image must be zero for an ELF kernel's bss. A
    // bzImage clears its own (arch/x86/boot/compressed/head_64.S).
    if (pvh) std::ranges::fill(room.subspan(segment.file_length), std::byte{0});
  }
  if (plan.initrd_length != 0) {
    const auto room = TRY(memory.window(plan.initrd, plan.initrd_length));
    add_pieces(pieces, plan.initrd, {files.initrd, "initrd", 0, room});
  }
  TRY(read_pieces(pieces));
  CpuState state;
  state.mode = pvh ? CpuState::Mode::protected32 : CpuState::Mode::long64;
  state.rip = pvh ? plan.image.entry : plan.image.segments.front().address + plan.relocation + plan.image.entry;
  TRY(write_cpu_tables(memory, state));
  if (pvh) {
    state.rbx = TRY(write_start_info(memory, plan, facts)).value;
  } else {
    state.rsi = TRY(write_zero_page(memory, plan, facts)).value;
  }
  return state;
}

}  // namespace pcivm::vmm
