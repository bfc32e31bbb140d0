// SPDX-License-Identifier: GPL-2.0-or-later
// The split virtqueue (virtio 1.2, 2.7).
#pragma once

#include "vmm/virtio/ring.hpp"
#include "vmm/virtio/ring_memory.hpp"

namespace pcivm::vmm {

class SplitRing final : public VirtioRing {
 public:
  /// As VirtioRing::create. The size is a power of two up to 32768.
  [[nodiscard]] static Result<std::unique_ptr<VirtioRing>> create(const GuestMemory& memory,
                                                                  const VirtioQueueSetup& setup,
                                                                  std::uint64_t features);

  [[nodiscard]] Result<bool> take(VirtioChain& chain) override;
  void give(const VirtioChain& chain, std::uint32_t written) override;
  [[nodiscard]] bool publish() override;
  [[nodiscard]] bool ask_for_signal() override;
  void want_no_signal() override;

 private:
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags;
    std::uint16_t next;
  };
  SplitRing(const GuestMemory& memory, std::uint16_t size, std::uint64_t features);
  [[nodiscard]] static Descriptor load(const RingMemory& table, std::size_t index);
  [[nodiscard]] Result<void> walk(const RingMemory& table, std::size_t index, ChainBuilder& builder,
                                  bool indirect) const;
  [[nodiscard]] Result<void> walk_indirect(const Descriptor& descriptor, ChainBuilder& builder) const;

  const GuestMemory& memory_;
  std::uint16_t size_;
  bool indirect_;
  bool event_index_;
  RingMemory descriptors_;
  RingMemory available_;
  RingMemory used_;
  std::uint16_t next_{};       // to take
  std::uint16_t seen_{};       // the driver's index, when last read
  std::uint16_t given_{};      // next entry of the used ring
  std::uint16_t published_{};  // of these the driver knows
  std::uint16_t in_flight_{};  // taken and not given
};

}  // namespace pcivm::vmm
