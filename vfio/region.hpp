// SPDX-License-Identifier: GPL-2.0-or-later
// One region of a VFIO device: a BAR, the ROM or the configuration space, and which parts of it may be mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pcivm::vfio {

/// Part of a region, in bytes from its start.
struct Area {
  std::uint64_t offset{};
  std::uint64_t length{};
  [[nodiscard]] std::uint64_t end() const { return offset + length; }
  bool operator==(const Area&) const = default;
};

struct Region {
  std::uint64_t size{};         ///< 0 = the device has no such region
  std::uint64_t file_offset{};  ///< where it starts in the device's descriptor
  bool readable{false};
  bool writable{false};
  bool msix_mappable{false};  ///< the driver lets the page of the MSI-X table be mapped
  std::vector<Area> areas;    ///< what may be mapped: page-aligned, ascending, apart from each other; may be empty
};

/// Reads a region from what VFIO_DEVICE_GET_REGION_INFO returned, header and capabilities. A capability chain that
/// loops or leaves the buffer ends there; areas that are not page-aligned or leave the region are not mapped (the
/// accesses are then trapped, which is slow and right). A region smaller than a page has no areas.
[[nodiscard]] Region parse_region(std::span<const std::byte> info);

/// `areas` without `hole`, which is first widened to whole pages.
[[nodiscard]] std::vector<Area> subtract(std::span<const Area> areas, Area hole);

}  // namespace pcivm::vfio
