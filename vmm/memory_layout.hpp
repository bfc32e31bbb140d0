// SPDX-License-Identifier: GPL-2.0-or-later
// Where RAM, files and the 64-bit PCI window lie in guest physical memory. A pure function, decided before anything is
// created.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

/// I/O addresses that the IOMMU does not translate for our devices (/sys/kernel/iommu_groups/N/reserved_regions,
/// VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE): RAM must not lie there, because RAM is mapped with IOVA = GPA.
struct ReservedRange {
  std::uint64_t first{};
  std::uint64_t last{};  ///< inclusive
};

struct LayoutRequest {
  std::uint64_t memory{};                 ///< bytes of RAM, a multiple of 2 MiB
  std::vector<ReservedRange> reserved{};  ///< any order, may overlap
  std::vector<std::uint64_t> files{};     ///< bytes of each file that is guest memory
  std::uint64_t blocks_length{};          ///< of RAM that comes and goes (memory_blocks.hpp), 0 = none
  std::uint64_t window64_length{};        ///< sum of the BARs that go above RAM, 0 = none
  std::uint64_t window64_alignment{};     ///< size of the largest of them
  unsigned address_bits{36};              ///< of the guest's CPUs (CPUID 0x80000008)
  /// A firmware is told one size of RAM below 4 GiB, and places ECAM and BARs above it.
  bool firmware{};
};

/// What the firmware's memory map says of a range (ACPI 6.5, table 15.4).
enum class MapType : std::uint32_t { ram = 1, reserved = 2 };
struct MapEntry {
  Gpa base;
  std::uint64_t length{};
  MapType type{MapType::ram};
  bool operator==(const MapEntry&) const = default;
};

struct MemoryLayout {
  std::vector<GuestMemory::Range> ram;    ///< ascending; starts at 0
  std::vector<GuestMemory::Range> files;  ///< above RAM, as requested; in no memory map
  GuestMemory::Range blocks;              ///< above all of these, in no memory map either; empty = none
  platform::Window window64;              ///< at least 1 GiB when any was asked for, else empty
  std::vector<MapEntry> map;              ///< for the kernel: RAM, and what is reserved in the 32-bit hole
};

inline constexpr std::uint64_t kLeastMemory = 32 * kMiB;

/// Errc::invalid when the memory is too small or not a multiple of 2 MiB, or does not fit below 2^address_bits;
/// Errc::refused when a reserved range takes the first 32 MiB, without which no kernel starts, or with a firmware any
/// RAM below 2 GiB.
[[nodiscard]] Result<MemoryLayout> lay_out_memory(const LayoutRequest& request);

}  // namespace pcivm::vmm
