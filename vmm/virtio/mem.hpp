// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-mem (virtio 1.2, 5.15): RAM that the guest plugs and unplugs as the host wants it.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/memory_blocks.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Understands requests; MemoryBlocks carries them out. They are served on a thread of its own, since one may populate
/// and pin much memory. A reset of the device leaves what is plugged as it is (5.15.5.2).
class VirtioMem final : public VirtioDevice {
 public:
  [[nodiscard]] static VirtioIdentity describe();
  /// All outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioMem>> create(MemoryBlocks& blocks, const GuestMemory& memory,
                                                                 VirtioSignals& signals);
  VirtioMem(const VirtioMem&) = delete;
  VirtioMem& operator=(const VirtioMem&) = delete;
  /// Waits for the request that is under way.
  ~VirtioMem() override;

  /// MemoryBlocks::want(), and the driver is told. Any thread.
  [[nodiscard]] Result<void> want(std::uint64_t bytes);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }

 private:
  VirtioMem(MemoryBlocks& blocks, const GuestMemory& memory, VirtioSignals& signals, Fd stop);
  void work();
  [[nodiscard]] std::uint32_t answer(const VirtioChain& chain);

  VirtioIdentity identity_ = describe();
  MemoryBlocks& blocks_;
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Fd stop_;
  std::jthread thread_;  // ends before the rest goes
};

}  // namespace pcivm::vmm
