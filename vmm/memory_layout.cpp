// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/memory_layout.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

// RAM starts on this boundary after a hole, so that GPA and HVA agree modulo a huge page.
constexpr std::uint64_t kHuge = 2 * kMiB;

// The largest piece in which Linux takes memory (memory_block_size_bytes): none of it is lost at the ends.
constexpr std::uint64_t kMemoryBlock = 2 * kGiB;

// AMD hosts cannot map IOVAs in the HyperTransport range below 1 TiB, reported or not (AMD IOMMU spec, 2.1.2).
constexpr ReservedRange kHyperTransport{.first = 1012 * kGiB, .last = 1024 * kGiB - 1};

// Legacy video and ROM space; the ACPI tables are in its upper part.
constexpr MapEntry kBelow1M{.base = {0xa0000}, .length = 0x60000, .type = MapType::reserved};
constexpr MapEntry kEcamEntry{.base = platform::kEcam, .length = platform::kEcamLength, .type = MapType::reserved};
// IOAPIC, local APICs, and the pages that KVM takes for itself (kvm.cpp), up to the end of the 32-bit space.
constexpr MapEntry kTopOf32Bit{
    .base = platform::kIoapic, .length = platform::kHighRam.value - platform::kIoapic.value, .type = MapType::reserved};

struct Span {
  std::uint64_t begin;
  std::uint64_t end;
};

// The parts of `whole` that no reserved range touches; `holes` is sorted by `first`.
std::vector<Span> free_parts(Span whole, std::span<const ReservedRange> holes) {
  std::vector<Span> parts;
  auto cursor = whole.begin;
  for (const auto& hole : holes) {
    if (hole.last < cursor) continue;
    if (hole.first >= whole.end) break;
    const auto stop = align_down(hole.first, kPageSize);
    if (stop > cursor) parts.push_back({cursor, stop});
    if (hole.last >= whole.end - 1) return parts;
    cursor = align_up(hole.last + 1, kHuge);
  }
  if (cursor < whole.end) parts.push_back({cursor, whole.end});
  return parts;
}

void take(std::vector<GuestMemory::Range>& ram, std::uint64_t& left, std::span<const Span> parts) {
  for (const auto& part : parts) {
    const auto length = std::min(left, part.end - part.begin);
    if (length == 0) return;
    ram.push_back({.gpa = Gpa{part.begin}, .length = length});
    left -= length;
  }
}

std::vector<MapEntry> memory_map(std::span<const GuestMemory::Range> ram) {
  std::vector<MapEntry> map;
  map.push_back({.base = Gpa{0}, .length = kBelow1M.base.value});
  map.push_back(kBelow1M);
  map.push_back({.base = Gpa{kMiB}, .length = ram.front().length - kMiB});
  for (const auto& range : ram.subspan(1)) map.push_back({.base = range.gpa, .length = range.length});
  map.push_back(kEcamEntry);
  map.push_back(kTopOf32Bit);
  std::ranges::sort(map, {}, &MapEntry::base);
  return map;
}

std::uint64_t address_limit(unsigned address_bits) { return 1ULL << std::clamp(address_bits, 36U, 52U); }

// Above all that is there; `cursor` is moved to its end.
Result<Gpa> place_high(std::uint64_t& cursor, std::uint64_t length, std::uint64_t alignment, unsigned address_bits,
                       std::string_view what) {
  auto base = align_up(std::max(cursor, platform::kHighRam.value), alignment);
  if (base <= kHyperTransport.last && length > kHyperTransport.first - std::min(base, kHyperTransport.first)) {
    base = align_up(kHyperTransport.last + 1, alignment);
  }
  if (!fits(base, length, address_limit(address_bits))) {
    return fail(Errc::invalid, fmt::format("{} {:#x} bytes from {:#x}, but the CPUs have {} physical address bits",
                                           what, length, base, address_bits));
  }
  cursor = base + length;
  return Gpa{base};
}

// As RAM: devices reach it, so nothing of it lies where the IOMMU translates nothing.
Result<GuestMemory::Range> place_blocks(std::uint64_t& cursor, std::uint64_t length, std::uint64_t limit,
                                        std::span<const ReservedRange> holes) {
  for (const auto& part : free_parts({std::max(cursor, platform::kHighRam.value), limit}, holes)) {
    const auto base = align_up(part.begin, kMemoryBlock);
    if (base >= part.end || length > part.end - base) continue;
    cursor = base + length;
    return GuestMemory::Range{.gpa = Gpa{base}, .length = length};
  }
  return fail(Errc::invalid,
              fmt::format("{} MiB of memory that may come are more than the CPUs' addresses up to {:#x} and the "
                          "IOMMU's reserved ranges allow",
                          length / kMiB, limit));
}

}  // namespace

Result<MemoryLayout> lay_out_memory(const LayoutRequest& request) {
  if (request.memory < kLeastMemory || !is_aligned(request.memory, kHuge)) {
    return fail(Errc::invalid, fmt::format("guest memory of {} bytes found, a multiple of 2 MiB from {} MiB wanted",
                                           request.memory, kLeastMemory / kMiB));
  }
  auto holes = request.reserved;
  holes.push_back(kHyperTransport);
  std::ranges::sort(holes, {}, &ReservedRange::first);

  MemoryLayout layout;
  const auto limit = address_limit(request.address_bits);
  auto left = request.memory;
  const auto low_end = request.firmware ? platform::kFirmwareLowRamEnd : platform::kLowRamEnd;
  take(layout.ram, left, free_parts({0, low_end.value}, holes));
  if (request.firmware && layout.ram.size() != 1) {
    return fail(Error::make(Errc::refused,
                            "the IOMMU reserves I/O addresses below 2 GiB, and a firmware is told of no "
                            "holes in its RAM there")
                    .advise("boot a kernel directly: --kernel"));
  }
  take(layout.ram, left, free_parts({platform::kHighRam.value, limit}, holes));
  if (left != 0) {
    return fail(Errc::invalid, fmt::format("guest memory of {} MiB found, {} MiB less is what {} physical address bits "
                                           "and the IOMMU's reserved ranges allow",
                                           request.memory / kMiB, left / kMiB, request.address_bits));
  }
  const auto& first = layout.ram.front();
  if (first.gpa.value != 0 || first.length < kLeastMemory) {
    return fail(Errc::refused, "the IOMMU reserves I/O addresses in the first 32 MiB, where the guest needs RAM");
  }
  const auto& last = layout.ram.back();
  auto cursor = last.gpa.value + last.length;
  for (const auto length : request.files) {
    const auto base = TRY(place_high(cursor, length, kGiB, request.address_bits, "a file in guest memory needs"));
    layout.files.push_back({.gpa = base, .length = length});
  }
  if (request.blocks_length != 0) {
    layout.blocks = TRY(place_blocks(cursor, request.blocks_length, limit, holes));
  }
  if (request.window64_length != 0) {
    layout.window64.length = align_up(request.window64_length, kGiB);
    layout.window64.base = TRY(place_high(cursor, layout.window64.length, std::max(kGiB, request.window64_alignment),
                                          request.address_bits, "the BARs of the devices need"));
  }
  layout.map = memory_map(layout.ram);
  return layout;
}

}  // namespace pcivm::vmm
