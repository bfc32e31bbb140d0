// SPDX-License-Identifier: GPL-2.0-or-later
// What <linux/virtio_ring.h> has, which is no C++.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pcivm::vmm {

/// Descriptor flags of both kinds of ring (virtio 1.2, 2.7.5, 2.8.6).
enum DescriptorFlags : std::uint16_t { kDescriptorNext = 1, kDescriptorWrite = 2, kDescriptorIndirect = 4 };
/// Bytes of a descriptor of either kind.
inline constexpr std::size_t kDescriptorSize = 16;

/// Whether to signal when an index moves from `before` to `now`, and the other side wants to hear of the step past
/// `wish` (2.7.7.1).
constexpr bool passes(std::uint16_t wish, std::uint16_t now, std::uint16_t before) {
  return static_cast<std::uint16_t>(now - wish - 1) < static_cast<std::uint16_t>(now - before);
}

}  // namespace pcivm::vmm
