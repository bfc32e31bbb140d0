// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/region.hpp"

#include <linux/vfio.h>

#include <algorithm>
#include <cstddef>

#include "base/units.hpp"
#include "vfio/info_chain.hpp"

namespace pcivm::vfio {

namespace {

std::vector<Area> sparse_areas(std::span<const std::byte> capability) {
  const auto header = copy_at<vfio_region_info_cap_sparse_mmap>(capability, 0);
  std::vector<Area> areas;
  for (std::size_t index = 0; index < header.nr_areas; ++index) {
    const auto at = sizeof header + index * sizeof(vfio_region_sparse_mmap_area);
    if (at + sizeof(vfio_region_sparse_mmap_area) > capability.size()) break;
    const auto area = copy_at<vfio_region_sparse_mmap_area>(capability, at);
    areas.push_back({.offset = area.offset, .length = area.size});
  }
  return areas;
}

/// Drops what cannot be mapped and joins what overlaps or touches.
std::vector<Area> normalised(std::vector<Area> areas, std::uint64_t size) {
  std::erase_if(areas, [size](const Area& area) {
    return area.length == 0 || !fits(area.offset, area.length, size) || !is_aligned(area.offset, kPageSize) ||
           !is_aligned(area.length, kPageSize);
  });
  std::ranges::sort(areas, {}, &Area::offset);
  std::vector<Area> joined;
  for (const auto& area : areas) {
    if (!joined.empty() && area.offset <= joined.back().end()) {
      joined.back().length = std::max(joined.back().end(), area.end()) - joined.back().offset;
    } else {
      joined.push_back(area);
    }
  }
  return joined;
}

}  // namespace

Region parse_region(std::span<const std::byte> info) {
  const auto header = copy_at<vfio_region_info>(info, 0);
  Region region{.size = header.size,
                .file_offset = header.offset,
                .readable = (header.flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                .writable = (header.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
                .msix_mappable = false,
                .areas = {}};
  std::vector<Area> areas;
  bool sparse = false;
  const auto first = (header.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 ? header.cap_offset : 0U;
  for (const auto& capability : info_capabilities(info, first)) {
    if (capability.id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) region.msix_mappable = true;
    if (capability.id != VFIO_REGION_INFO_CAP_SPARSE_MMAP) continue;
    sparse = true;
    std::ranges::copy(sparse_areas(capability.bytes), std::back_inserter(areas));
  }
  if ((header.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) return region;
  if (!sparse) areas = {{.offset = 0, .length = align_down(header.size, kPageSize)}};
  region.areas = normalised(std::move(areas), header.size);
  return region;
}

std::vector<Area> subtract(std::span<const Area> areas, Area hole) {
  const auto hole_start = align_down(hole.offset, kPageSize);
  const auto hole_end = align_up(hole.end(), kPageSize);
  std::vector<Area> left;
  for (const auto& area : areas) {
    if (hole.length == 0 || area.end() <= hole_start || hole_end <= area.offset) {
      left.push_back(area);
      continue;
    }
    if (area.offset < hole_start) left.push_back({.offset = area.offset, .length = hole_start - area.offset});
    if (hole_end < area.end()) left.push_back({.offset = hole_end, .length = area.end() - hole_end});
  }
  return left;
}

}  // namespace pcivm::vfio
