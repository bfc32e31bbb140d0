// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-balloon (virtio 1.2, 5.5) as far as it gives memory back by itself: the guest reports pages that it does not
// use, and the host takes them until they are touched again.
#pragma once

#include <memory>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Never beside an assigned device, whose DMA would go on to the pages that were taken. Works on the loop thread, where
/// it is made and destroyed.
class VirtioBalloon final : public VirtioDevice {
 public:
  [[nodiscard]] static VirtioIdentity describe();
  /// All outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(EventLoop& loop, const GuestMemory& memory,
                                                                    VirtioSignals& signals);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }

 private:
  VirtioBalloon(const GuestMemory& memory, VirtioSignals& signals)
      : memory_{memory}, signals_{signals}, queues_{memory, signals, 3} {}
  void on_doorbell();
  void take_back(const VirtioChain& chain);
  void inflate(const VirtioChain& chain);
  void discard(std::span<std::byte> bytes);

  VirtioIdentity identity_ = describe();
  const GuestMemory& memory_;
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Watch doorbell_;
};

}  // namespace pcivm::vmm
