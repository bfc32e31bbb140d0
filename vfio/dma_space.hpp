// SPDX-License-Identifier: GPL-2.0-or-later
// What assigned devices may reach by DMA: an I/O address space that is filled range by range. One interface for the
// container (type1) and for what the kernel offers later, so that its users do not change.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace pcivm::vfio {

/// Both ends included, so that the whole 64-bit space can be said.
struct IovaRange {
  Iova first{};
  Iova last{};
  bool operator==(const IovaRange&) const = default;
};

/// One run of memory to map.
struct DmaRun {
  Iova iova{};
  Hva hva{};
  std::uint64_t length{};
  bool operator==(const DmaRun&) const = default;
};

struct DmaCounters {
  std::uint64_t maps{};
  std::uint64_t unmaps{};
  std::uint64_t mapped_bytes{};  ///< at present
};

/// Any thread. Everything is unmapped when the space is destroyed; memory stays in place until then or until unmap().
class DmaSpace {
 public:
  virtual ~DmaSpace() = default;

  /// Pins the memory and makes it reachable, readable and writable. All three are multiples of page_size(). The error
  /// says what to change: memlock (Errc::denied), a reserved range (Errc::refused), overlap (Errc::busy).
  [[nodiscard]] virtual Result<void> map(const DmaRun& run) = 0;
  /// Exactly a range that was mapped, or several whole ones; Errc::kernel when the kernel unmapped less.
  [[nodiscard]] virtual Result<void> unmap(Iova iova, std::uint64_t length) = 0;

  /// Ascending; what is outside of them cannot be mapped.
  [[nodiscard]] virtual std::span<const IovaRange> allowed() const = 0;
  /// The smallest page that the IOMMU can map.
  [[nodiscard]] virtual std::uint64_t page_size() const = 0;
  [[nodiscard]] virtual DmaCounters counters() const = 0;
};

/// Joins runs that continue each other in both spaces: fewer mappings, larger pages. `runs` ascending by IOVA.
[[nodiscard]] std::vector<DmaRun> merge(std::span<const DmaRun> runs);

/// True when one of `ranges` holds the whole of [first, first + length).
[[nodiscard]] bool holds(std::span<const IovaRange> ranges, Iova first, std::uint64_t length);

/// Maps all runs, merged. On an error those already mapped are unmapped again.
[[nodiscard]] Result<void> map_all(DmaSpace& space, std::span<const DmaRun> runs);

}  // namespace pcivm::vfio
