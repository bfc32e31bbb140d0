// SPDX-License-Identifier: GPL-2.0-or-later
// The capability chain behind VFIO's info structures (struct vfio_info_cap_header).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace pcivm::vfio {

struct InfoCapability {
  std::uint16_t id{};
  std::span<const std::byte> bytes;  ///< from its header to the end of the buffer
};

/// Walks from offset `first` (0 = no capabilities). Ends at an offset outside of `info`, at one that was seen before
/// and after 64 entries.
[[nodiscard]] std::vector<InfoCapability> info_capabilities(std::span<const std::byte> info, std::uint32_t first);

/// Copies a T from `bytes` at `offset`; zero beyond the end.
template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] T copy_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  if (offset <= bytes.size() && sizeof(T) <= bytes.size() - offset) {
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  }
  return value;
}

}  // namespace pcivm::vfio
