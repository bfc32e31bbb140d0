// SPDX-License-Identifier: GPL-2.0-or-later
// A BAR of our own for the MSI-X structures of a function that keeps registers on the same page: the guest finds them
// there, and its own BAR is mapped whole (docs/adr/0009-msix-relocation.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/units.hpp"
#include "iommu/bars.hpp"
#include "iommu/function.hpp"

namespace pcivm::vfio {

/// The table is at the start of that BAR, the pending bits are behind it.
[[nodiscard]] constexpr std::uint64_t msix_table_length(unsigned entries) { return std::uint64_t{entries} * 16; }
[[nodiscard]] constexpr std::uint64_t msix_pending_length(unsigned entries) { return (entries + 63ULL) / 64 * 8; }
[[nodiscard]] constexpr std::uint64_t msix_pending_offset(unsigned entries) {
  return align_up(msix_table_length(entries), 64);
}

/// What the guest is shown beside `bars`; nothing where neither structure shares a page with registers as far as can be
/// known (one does that begins inside a page, unless the other is in front of it), or where no BAR is free.
[[nodiscard]] std::optional<iommu::Bar> msix_bar(std::span<const iommu::Bar> bars, const iommu::Msix& msix);

}  // namespace pcivm::vfio
