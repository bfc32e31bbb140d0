// SPDX-License-Identifier: GPL-2.0-or-later
// Guest memory, RAM and files: where it lies, bounds-checked access to it, and populating it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/mapping.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace pcivm::vmm {

/// What is behind a piece of guest memory. Files are never mapped for the DMA of assigned devices (ADR 0002).
enum class MemoryKind : std::uint8_t {
  ram,
  file,
  read_only_file,  ///< the guest cannot write to it; what is written here never reaches the file
  blocks,          ///< RAM that comes and goes block by block (MemoryBlocks)
};

/// One contiguous piece of guest memory. HVA and GPA agree modulo 2 MiB, so that both page tables and the IOMMU can use
/// huge entries.
struct RamRegion {
  Gpa gpa;
  Hva hva;
  std::uint64_t length{};
  MemoryKind kind{MemoryKind::ram};
  int file{-1};  ///< of RAM and of blocks that daemons may map: the whole of it, from offset 0
};

/// What RAM is made of.
struct RamBacking {
  bool shared{};  ///< daemons may map it
  std::uint64_t
      huge_page{};  ///< reserved pages of that size (hugetlb); 0: ordinary ones, and huge where the kernel has them
  std::vector<unsigned> nodes{};  ///< NUMA nodes of the host that it may come from; empty: any
  bool populate{};                ///< all of it before the guest runs
  bool devices{};                 ///< will be mapped for them, in runs as large as can be
};

/// Shared by all vCPUs and, through DMA, by devices: the bytes may change at any time. Therefore read() copies once and
/// the caller validates the copy. Any thread. Every access outside RAM is Errc::invalid, never an abort.
class GuestMemory final {
 public:
  struct Range {
    Gpa gpa;
    std::uint64_t length{};
  };
  /// Zero memory for each range (page-aligned, ascending, not overlapping), nothing populated yet. Errc::kernel when
  /// the host has too few huge pages of the size that is asked for.
  [[nodiscard]] static Result<GuestMemory> create(std::span<const Range> ranges, const RamBacking& backing = {});

  /// Adds a file, mapped shared, above all that is there. Before anybody else uses the object.
  [[nodiscard]] Result<void> add_file(const Range& range, FdRef file, bool read_only);
  /// The same for RAM in blocks of `block` bytes (a power of two), none of which can be reached yet. Once.
  [[nodiscard]] Result<void> add_blocks(const Range& range, std::uint64_t block, const RamBacking& backing);
  /// From now on window() reaches the block, or does not. What was reached before is still mapped.
  void reach_block(std::size_t index, bool on) const;

  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Result<T> read(Gpa gpa) const {
    T value;
    const auto bytes = TRY(window(gpa, sizeof(T)));
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Result<void> write(Gpa gpa, const T& value) const {
    const auto bytes = TRY(window(gpa, sizeof(T)));
    std::memcpy(bytes.data(), &value, sizeof(T));
    return {};
  }
  /// Bulk payload inside one region (kernel image, disk block); never parse in place.
  [[nodiscard]] Result<std::span<std::byte>> window(Gpa gpa, std::uint64_t length) const;

  /// For KVM slots, DMA maps and vhost, ascending.
  [[nodiscard]] std::span<const RamRegion> regions() const { return regions_; }
  /// Of the RAM.
  [[nodiscard]] std::uint64_t size() const;

  /// Gives whole pages of RAM or of blocks back to the host: they read as zeros, and come again when they are touched.
  /// Files keep theirs.
  [[nodiscard]] Result<void> discard(std::span<std::byte> pages) const;
  /// The same for pages of one region, reached or not.
  [[nodiscard]] Result<void> discard(Gpa gpa, std::uint64_t length) const;
  /// Faults every page of RAM in (MADV_POPULATE_WRITE) on up to `threads` threads; keeps contents. Errc::kernel when
  /// the host is out of memory.
  [[nodiscard]] Result<void> populate(unsigned threads) const;
  /// The same for pages of one region, on this thread.
  [[nodiscard]] Result<void> populate(Gpa gpa, std::uint64_t length) const;

 private:
  struct Blocks {
    std::size_t region{};
    std::uint64_t size{};  // of one; 0: there are none
    std::unique_ptr<std::atomic<bool>[]> reached{};
  };
  [[nodiscard]] Result<void> add_ram(const Range& range, const RamBacking& backing, MemoryKind kind);
  [[nodiscard]] bool reaches(std::size_t region, std::uint64_t offset, std::uint64_t length) const;
  [[nodiscard]] Result<void> discard(std::size_t region, std::uint64_t offset, std::uint64_t length) const;
  /// The region that has all of it; none: there is none.
  [[nodiscard]] std::optional<std::size_t> find(Gpa gpa, std::uint64_t length) const;

  std::vector<Fd> files_;
  std::vector<Mapping> mappings_;  // by region
  std::vector<RamRegion> regions_;
  std::uint64_t slice_{};  // that one thread populates at a time
  Blocks blocks_;
};

}  // namespace pcivm::vmm
