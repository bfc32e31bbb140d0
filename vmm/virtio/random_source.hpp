// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-rng (virtio 1.2, 5.4): the host's random numbers.
#pragma once

#include <memory>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Works on the loop thread, where it is made and destroyed.
class VirtioRandomSource final : public VirtioDevice {
 public:
  [[nodiscard]] static VirtioIdentity describe();
  /// All outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(EventLoop& loop, const GuestMemory& memory,
                                                                    VirtioSignals& signals);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t /*offset*/, std::span<std::byte> /*data*/) override {}
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }

 private:
  VirtioRandomSource(const GuestMemory& memory, VirtioSignals& signals)
      : signals_{signals}, queues_{memory, signals, 1} {}
  void on_doorbell();

  VirtioIdentity identity_ = describe();
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Watch doorbell_;
};

}  // namespace pcivm::vmm
