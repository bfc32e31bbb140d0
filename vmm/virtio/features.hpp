// SPDX-License-Identifier: GPL-2.0-or-later
// Feature bits as masks (virtio 1.2, 6): what rings and transport can do for every device.
#pragma once

#include <linux/virtio_config.h>

#include <cstdint>

namespace pcivm::vmm::virtio_features {

constexpr std::uint64_t bit(unsigned number) { return 1ULL << number; }
constexpr bool has(std::uint64_t features, unsigned number) { return (features >> number & 1U) != 0; }

inline constexpr unsigned kIndirectDescriptors = 28;  // VIRTIO_F_INDIRECT_DESC
inline constexpr unsigned kEventIndex = 29;           // VIRTIO_F_EVENT_IDX

inline constexpr std::uint64_t kTransport =
    bit(VIRTIO_F_VERSION_1) | bit(kIndirectDescriptors) | bit(kEventIndex) | bit(VIRTIO_F_RING_RESET);
/// For devices that give buffers back in the order in which they took them.
inline constexpr std::uint64_t kInOrder = bit(VIRTIO_F_IN_ORDER);
inline constexpr std::uint64_t kPacked = bit(VIRTIO_F_RING_PACKED);

}  // namespace pcivm::vmm::virtio_features
