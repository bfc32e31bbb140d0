// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-console with one port (virtio 1.2, 5.3): the guest's hvc0.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Works on the loop thread, where it is made and destroyed; emergency output comes on vCPU threads.
class VirtioConsole final : public VirtioDevice {
 public:
  struct Callbacks {
    /// What the guest says. Any thread; must not block: OutputRing::push.
    std::function<void(std::span<const std::byte>)> output;
    /// receive() may take more. Loop thread.
    std::function<void()> can_receive;
  };
  [[nodiscard]] static VirtioIdentity describe();
  /// All outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioConsole>> create(EventLoop& loop, const GuestMemory& memory,
                                                                     VirtioSignals& signals, Callbacks callbacks);

  /// Gives input to the guest; how many bytes from the front it took. Loop thread.
  [[nodiscard]] std::size_t receive(std::span<const std::byte> data);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  void write_config(std::uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }

 private:
  VirtioConsole(const GuestMemory& memory, VirtioSignals& signals, Callbacks callbacks)
      : signals_{signals}, queues_{memory, signals, 2}, callbacks_{std::move(callbacks)} {}
  void on_doorbell();
  [[nodiscard]] std::uint32_t say(const VirtioChain& chain) const;

  VirtioIdentity identity_ = describe();
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Callbacks callbacks_;
  Watch doorbell_;
};

}  // namespace pcivm::vmm
