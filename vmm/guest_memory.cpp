// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/guest_memory.hpp"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/parallel.hpp"

namespace pcivm::vmm {

namespace {

// The kernel keeps others from changing the process's mappings while it fills one: each is soon over.
constexpr std::uint64_t kSlice = 8 * kMiB;
constexpr unsigned kMostNodes = 1024;
constexpr unsigned kWordBits = 64;

struct Slice {
  const Mapping* mapping;
  std::uint64_t offset;
  std::uint64_t length;
};

std::vector<Slice> slices_of(const std::vector<Mapping>& mappings, std::span<const RamRegion> regions,
                             std::uint64_t length) {
  std::vector<Slice> slices;
  for (std::size_t index = 0; index < mappings.size(); ++index) {
    const auto& mapping = mappings[index];
    if (regions[index].kind != MemoryKind::ram) continue;
    for (std::uint64_t offset = 0; offset < mapping.length(); offset += length) {
      slices.push_back({&mapping, offset, std::min(length, mapping.length() - offset)});
    }
  }
  return slices;
}

// Whoever gets it cannot take it away from under us.
Result<Fd> file_for(const RamBacking& backing, std::uint64_t length) {
  auto file = TRY(make_memfd("guest RAM", length, backing.huge_page));
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(file.ref().number(), F_ADD_SEALS, kSeals) != 0) return fail_errno(errno, "seal the size");
  return file;
}

// mbind(2); pages that are there already stay: there are none yet.
Result<void> bind_to_nodes(const Mapping& mapping, const std::vector<unsigned>& nodes) {
  if (nodes.empty()) return {};
  std::array<unsigned long, kMostNodes / kWordBits> mask{};
  for (const auto node : nodes) {
    if (node >= kMostNodes)
      return fail(Errc::invalid, fmt::format("NUMA node {} found, at most {} wanted", node, kMostNodes - 1));
    mask[node / kWordBits] |= 1UL << node % kWordBits;
  }
  // The kernel takes one bit less than it is told of.
  if (::syscall(SYS_mbind, mapping.bytes().data(), mapping.length(), MPOL_BIND, mask.data(), kMostNodes + 1, 0) != 0) {
    return fail_errno(errno, "mbind");
  }
  return {};
}

}  // namespace

Result<GuestMemory> GuestMemory::create(std::span<const Range> ranges, const RamBacking& backing) {
  GuestMemory memory;
  memory.slice_ = std::max(kSlice, backing.huge_page);
  for (const auto& range : ranges) TRY(memory.add_ram(range, backing, MemoryKind::ram));
  if (backing.populate) TRY(memory.populate(std::thread::hardware_concurrency()));
  return memory;
}

Result<void> GuestMemory::add_ram(const Range& range, const RamBacking& backing, MemoryKind kind) {
  if (!is_aligned(range.gpa.value, kPageSize) || !is_aligned(range.length, kPageSize)) {
    return fail(Errc::internal,
                fmt::format("guest RAM {:#x}+{:#x} is not page-aligned", range.gpa.value, range.length));
  }
  // 1 GiB alignment where the size can use it costs only address space.
  const auto alignment = range.length >= kGiB ? kGiB : 2 * kMiB;
  Fd file;
  if (backing.shared || backing.huge_page != 0) file = TRY_IN(file_for(backing, range.length), "guest RAM");
  auto mapping = TRY_IN(file ? Mapping::shared(file.ref(), 0, range.length, Access::read_write, alignment)
                             : Mapping::anonymous(range.length, alignment),
                        fmt::format("guest RAM of {} bytes", range.length));
  TRY_IN(bind_to_nodes(mapping, backing.nodes), "guest RAM");
  // Without THP in the kernel the guest runs on small pages all the same.
  (void)mapping.advise(0, range.length, MADV_HUGEPAGE);
  // What a guest starts with is a few pages at its bottom, for which 2 MiB would be zeroed before its first
  // instruction.
  if (range.gpa.value == 0 && !backing.devices) {
    (void)mapping.advise(0, std::min(range.length, 2 * kMiB), MADV_NOHUGEPAGE);
  }
  // A core dump must hold neither the guest's secrets nor its size.
  (void)mapping.advise(0, range.length, MADV_DONTDUMP);
  regions_.push_back(
      {.gpa = range.gpa, .hva = mapping.hva(), .length = range.length, .kind = kind, .file = file.ref().number()});
  if (file) files_.push_back(std::move(file));
  mappings_.push_back(std::move(mapping));
  return {};
}

Result<void> GuestMemory::add_blocks(const Range& range, std::uint64_t block, const RamBacking& backing) {
  if (!std::has_single_bit(block) || !is_aligned(range.length, block) || blocks_.size != 0) {
    return fail(Errc::internal, fmt::format("{:#x} bytes in blocks of {:#x}", range.length, block));
  }
  TRY(add_ram(range, backing, MemoryKind::blocks));
  blocks_ = {.region = regions_.size() - 1,
             .size = block,
             .reached = std::make_unique<std::atomic<bool>[]>(range.length / block)};
  return {};
}

void GuestMemory::reach_block(std::size_t index, bool on) const { blocks_.reached[index] = on; }

bool GuestMemory::reaches(std::size_t region, std::uint64_t offset, std::uint64_t length) const {
  if (regions_[region].kind != MemoryKind::blocks) return true;
  const auto last = (offset + std::max<std::uint64_t>(length, 1) - 1) / blocks_.size;
  for (auto block = offset / blocks_.size; block <= last; ++block) {
    if (offset == regions_[region].length || !blocks_.reached[block]) return false;
  }
  return true;
}

// A driver may write into a read-only file only by other devices of ours, which then write to pages of this process.
Result<void> GuestMemory::add_file(const Range& range, FdRef file, bool read_only) {
  auto mapping = TRY(read_only ? Mapping::copy_on_write(file, range.length, 2 * kMiB)
                               : Mapping::shared(file, 0, range.length, Access::read_write, 2 * kMiB));
  regions_.push_back({.gpa = range.gpa,
                      .hva = mapping.hva(),
                      .length = range.length,
                      .kind = read_only ? MemoryKind::read_only_file : MemoryKind::file});
  mappings_.push_back(std::move(mapping));
  return {};
}

std::optional<std::size_t> GuestMemory::find(Gpa gpa, std::uint64_t length) const {
  for (std::size_t index = 0; index < regions_.size(); ++index) {
    const auto& region = regions_[index];
    if (gpa >= region.gpa && fits(gpa.value - region.gpa.value, length, region.length)) return index;
  }
  return std::nullopt;
}

Result<std::span<std::byte>> GuestMemory::window(Gpa gpa, std::uint64_t length) const {
  if (const auto index = find(gpa, length)) {
    const auto offset = gpa.value - regions_[*index].gpa.value;
    if (reaches(*index, offset, length)) return mappings_[*index].bytes().subspan(offset, length);
  }
  return fail(Errc::invalid, fmt::format("guest address {:#x}+{:#x} is outside RAM", gpa.value, length));
}

Result<void> GuestMemory::discard(std::size_t region, std::uint64_t offset, std::uint64_t length) const {
  const auto& which = regions_[region];
  if (which.kind == MemoryKind::file || which.kind == MemoryKind::read_only_file) return {};
  return mappings_[region].advise(offset, length, which.file < 0 ? MADV_DONTNEED : MADV_REMOVE);
}

Result<void> GuestMemory::discard(std::span<std::byte> pages) const {
  const auto from = std::bit_cast<std::uint64_t>(pages.data());
  for (std::size_t index = 0; index < regions_.size(); ++index) {
    const auto& region = regions_[index];
    if (from < region.hva.value || !fits(from - region.hva.value, pages.size(), region.length)) continue;
    return discard(index, from - region.hva.value, pages.size());
  }
  return fail(Errc::internal, "pages that are not guest memory");
}

Result<void> GuestMemory::discard(Gpa gpa, std::uint64_t length) const {
  const auto index = find(gpa, length);
  if (!index) return fail(Errc::internal, "pages that are not guest memory");
  return discard(*index, gpa.value - regions_[*index].gpa.value, length);
}

std::uint64_t GuestMemory::size() const {
  std::uint64_t sum = 0;
  for (const auto& region : regions_) sum += region.kind == MemoryKind::ram ? region.length : 0;
  return sum;
}

Result<void> GuestMemory::populate(unsigned threads) const {
  const auto slices = slices_of(mappings_, regions_, slice_);
  TRY_IN(in_parallel(slices.size(), threads,
                     [&slices](std::size_t index) {
                       const auto& slice = slices[index];
                       return slice.mapping->advise(slice.offset, slice.length, MADV_POPULATE_WRITE);
                     }),
         "populate guest RAM");
  return {};
}

Result<void> GuestMemory::populate(Gpa gpa, std::uint64_t length) const {
  const auto index = find(gpa, length);
  if (!index) return fail(Errc::internal, "pages that are not guest memory");
  return mappings_[*index].advise(gpa.value - regions_[*index].gpa.value, length, MADV_POPULATE_WRITE);
}

}  // namespace pcivm::vmm
