// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/guest_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kSlice = 64 * kMiB;

struct Slice {
  const Mapping* mapping;
  std::uint64_t offset;
  std::uint64_t length;
};

std::vector<Slice> slices_of(const std::vector<Mapping>& mappings, std::span<const RamRegion> regions) {
  std::vector<Slice> slices;
  for (std::size_t index = 0; index < mappings.size(); ++index) {
    const auto& mapping = mappings[index];
    if (regions[index].kind != MemoryKind::ram) continue;
    for (std::uint64_t offset = 0; offset < mapping.length(); offset += kSlice) {
      slices.push_back({&mapping, offset, std::min(kSlice, mapping.length() - offset)});
    }
  }
  return slices;
}

}  // namespace

Result<GuestMemory> GuestMemory::create(std::span<const Range> ranges) {
  GuestMemory memory;
  for (const auto& range : ranges) {
    if (!is_aligned(range.gpa.value, kPageSize) || !is_aligned(range.length, kPageSize)) {
      return fail(Errc::internal,
                  fmt::format("guest RAM {:#x}+{:#x} is not page-aligned", range.gpa.value, range.length));
    }
    // 1 GiB alignment where the size can use it costs only address space.
    const auto alignment = range.length >= kGiB ? kGiB : 2 * kMiB;
    auto mapping =
        TRY_IN(Mapping::anonymous(range.length, alignment), fmt::format("guest RAM of {} bytes", range.length));
    // Without THP in the kernel the guest runs on small pages all the same.
    (void)mapping.advise(0, range.length, MADV_HUGEPAGE);
    // A core dump must hold neither the guest's secrets nor its size.
    (void)mapping.advise(0, range.length, MADV_DONTDUMP);
    memory.regions_.push_back({.gpa = range.gpa, .hva = mapping.hva(), .length = range.length});
    memory.mappings_.push_back(std::move(mapping));
  }
  return memory;
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

Result<std::span<std::byte>> GuestMemory::window(Gpa gpa, std::uint64_t length) const {
  for (std::size_t index = 0; index < regions_.size(); ++index) {
    const auto& region = regions_[index];
    if (gpa < region.gpa) continue;
    const auto offset = gpa.value - region.gpa.value;
    if (fits(offset, length, region.length)) return mappings_[index].bytes().subspan(offset, length);
  }
  return fail(Errc::invalid, fmt::format("guest address {:#x}+{:#x} is outside RAM", gpa.value, length));
}

std::uint64_t GuestMemory::size() const {
  std::uint64_t sum = 0;
  for (const auto& region : regions_) sum += region.kind == MemoryKind::ram ? region.length : 0;
  return sum;
}

Result<void> GuestMemory::populate(unsigned threads) const {
  const auto slices = slices_of(mappings_, regions_);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::optional<Error> failure;
  const auto work = [&] {
    for (auto index = next++; index < slices.size(); index = next++) {
      const auto& slice = slices[index];
      auto done = slice.mapping->advise(slice.offset, slice.length, MADV_POPULATE_WRITE);
      if (done) continue;
      const std::scoped_lock lock{mutex};
      failure = std::move(done).error();
      next = slices.size();
    }
  };
  {
    std::vector<std::jthread> workers;
    const auto count = std::clamp<std::size_t>(threads, 1, std::max<std::size_t>(slices.size(), 1));
    for (std::size_t index = 1; index < count; ++index) workers.emplace_back(work);
    work();
  }
  if (failure) return fail(std::move(*failure).within("populate guest RAM"));
  return {};
}

}  // namespace pcivm::vmm
