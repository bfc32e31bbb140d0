// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/dma_space.hpp"

#include <algorithm>
#include <utility>

#include "vfio/container.hpp"
#include "vfio/ioas.hpp"
#include "vfio/user_space.hpp"

namespace pcivm::vfio {

Result<std::unique_ptr<DmaSpace>> make_dma_space(IoctlPort& port, OpenedVfio opened) {
  if (std::ranges::any_of(opened.devices, [](const OpenedDevice& device) { return device.server.has_value(); })) {
    return UserSpace::create(port, std::move(opened));
  }
  if (opened.backend == IommuBackend::iommufd) return TRY(Ioas::create(port, std::move(opened)));
  return TRY(Container::attach(port, std::move(opened)));
}

std::vector<DmaRun> merge(std::span<const DmaRun> runs) {
  std::vector<DmaRun> merged;
  for (const auto& run : runs) {
    if (!merged.empty()) {
      auto& last = merged.back();
      const bool same_file =
          last.file == run.file && (run.file < 0 || last.file_offset + last.length == run.file_offset);
      if (last.iova + last.length == run.iova && last.hva + last.length == run.hva && same_file) {
        last.length += run.length;
        continue;
      }
    }
    merged.push_back(run);
  }
  return merged;
}

bool holds(std::span<const IovaRange> ranges, Iova first, std::uint64_t length) {
  if (length == 0 || first.value + (length - 1) < first.value) return false;
  const auto last = first + (length - 1);
  return std::ranges::any_of(ranges,
                             [&](const IovaRange& range) { return range.first <= first && last <= range.last; });
}

Result<void> map_all(DmaSpace& space, std::span<const DmaRun> runs) {
  const auto merged = merge(runs);
  for (std::size_t done = 0; done < merged.size(); ++done) {
    auto mapped = space.map(merged[done]);
    if (mapped) continue;
    // The first error is the one to tell; what an undo cannot unmap goes with the space.
    for (const auto& undo : std::span{merged}.first(done)) (void)space.unmap(undo.iova, undo.length);
    return mapped;
  }
  return {};
}

}  // namespace pcivm::vfio
