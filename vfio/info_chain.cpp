// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/info_chain.hpp"

#include <linux/vfio.h>

#include <algorithm>

namespace pcivm::vfio {

std::vector<InfoCapability> info_capabilities(std::span<const std::byte> info, std::uint32_t first) {
  constexpr std::size_t kMost = 64;
  std::vector<InfoCapability> found;
  std::vector<std::uint32_t> seen;
  auto offset = first;
  while (offset != 0 && offset < info.size() && info.size() - offset >= sizeof(vfio_info_cap_header) &&
         seen.size() < kMost && std::ranges::find(seen, offset) == seen.end()) {
    const auto header = copy_at<vfio_info_cap_header>(info, offset);
    seen.push_back(offset);
    found.push_back({.id = header.id, .bytes = info.subspan(offset)});
    offset = header.next;
  }
  return found;
}

}  // namespace pcivm::vfio
