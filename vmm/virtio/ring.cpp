// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/ring.hpp"

#include "vmm/virtio/features.hpp"
#include "vmm/virtio/packed_ring.hpp"
#include "vmm/virtio/split_ring.hpp"

namespace pcivm::vmm {

Result<std::unique_ptr<VirtioRing>> VirtioRing::create(const GuestMemory& memory, const VirtioQueueSetup& setup,
                                                       std::uint64_t features) {
  const bool packed = virtio_features::has(features, VIRTIO_F_RING_PACKED);
  return packed ? PackedRing::create(memory, setup, features) : SplitRing::create(memory, setup, features);
}

}  // namespace pcivm::vmm
