// SPDX-License-Identifier: GPL-2.0-or-later
// The packed virtqueue (virtio 1.2, 2.8): driver and device share one ring of descriptors, and a bit that changes with
// every round says whose a descriptor is.
#pragma once

#include "vmm/virtio/ring.hpp"
#include "vmm/virtio/ring_memory.hpp"

namespace pcivm::vmm {

class PackedRing final : public VirtioRing {
 public:
  /// As VirtioRing::create. Any size up to 32768.
  [[nodiscard]] static Result<std::unique_ptr<VirtioRing>> create(const GuestMemory& memory,
                                                                  const VirtioQueueSetup& setup,
                                                                  std::uint64_t features);

  [[nodiscard]] Result<bool> take(VirtioChain& chain) override;
  void give(const VirtioChain& chain, std::uint32_t written) override;
  [[nodiscard]] bool publish() override;
  [[nodiscard]] bool ask_for_signal() override;
  void want_no_signal() override;

 private:
  /// A place in the ring and the round it is in.
  struct Position {
    std::uint16_t index{};
    bool wrap{true};
    void advance(unsigned count, unsigned size);
  };
  PackedRing(const GuestMemory& memory, std::uint16_t size, std::uint64_t features);
  [[nodiscard]] bool is_available() const;
  [[nodiscard]] Result<void> walk(VirtioChain& chain) const;
  [[nodiscard]] Result<void> walk_indirect(std::size_t at, ChainBuilder& builder) const;

  const GuestMemory& memory_;
  std::uint16_t size_;
  bool indirect_;
  bool event_index_;
  RingMemory descriptors_;
  RingMemory driver_;
  RingMemory device_;
  Position next_;              // to take
  Position used_;              // to give
  std::uint16_t in_flight_{};  // descriptors taken and not given
  std::uint16_t unpublished_{};
};

}  // namespace pcivm::vmm
