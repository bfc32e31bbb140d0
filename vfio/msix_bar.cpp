// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/msix_bar.hpp"

#include <algorithm>
#include <bit>

namespace pcivm::vfio {

namespace {

constexpr unsigned kBars = 6;

struct Structure {
  unsigned bar{};
  std::uint64_t offset{};
  std::uint64_t length{};
};

/// PCI 3.0, 6.8.2: no register may be within the aligned 4 KiB of a structure, but for the other structure. What is
/// behind one on its page is taken for nothing, because that is where most devices end.
bool shares_page(const Structure& one, const Structure& other) {
  const auto page = align_down(one.offset, kPageSize);
  const bool first = one.offset == page;
  const bool behind = other.bar == one.bar && other.offset <= page && page < other.offset + other.length;
  return !first && !behind;
}

/// A page of it can be mapped at all.
bool is_inside(std::span<const iommu::Bar> bars, const Structure& structure) {
  return std::ranges::any_of(bars, [&](const iommu::Bar& bar) {
    return bar.index == structure.bar && !bar.io && bar.size >= kPageSize &&
           fits(structure.offset, structure.length, bar.size);
  });
}

// The last one: what a driver looks for is in the first ones.
std::optional<std::uint8_t> free_bar(std::span<const iommu::Bar> bars) {
  for (unsigned index = kBars; index-- != 0;) {
    const auto taken = [index](const iommu::Bar& bar) {
      return bar.index == index || (bar.wide && bar.index + 1U == index);
    };
    if (std::ranges::none_of(bars, taken)) return static_cast<std::uint8_t>(index);
  }
  return std::nullopt;
}

}  // namespace

std::optional<iommu::Bar> msix_bar(std::span<const iommu::Bar> bars, const iommu::Msix& msix) {
  const Structure table{
      .bar = msix.place.table_bar, .offset = msix.place.table_offset, .length = msix_table_length(msix.entries)};
  const Structure pending{
      .bar = msix.place.pba_bar, .offset = msix.place.pba_offset, .length = msix_pending_length(msix.entries)};
  if (!is_inside(bars, table) || !is_inside(bars, pending)) return std::nullopt;
  if (!shares_page(table, pending) && !shares_page(pending, table)) return std::nullopt;
  const auto index = free_bar(bars);
  if (!index) return std::nullopt;
  const auto length = msix_pending_offset(msix.entries) + msix_pending_length(msix.entries);
  return iommu::Bar{.index = *index, .size = std::bit_ceil(std::max(length, kPageSize))};
}

}  // namespace pcivm::vfio
