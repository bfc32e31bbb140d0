// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-iommu (virtio 1.2, 5.13) for the assigned devices of the VM: docs/adr/0005-virtio-iommu.md.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/iommu_domains.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Understands requests; IommuDomains carries them out. They are served on a thread of its own, since one may pin all
/// RAM. What comes into the event queue is kept: the kernel tells nobody of the faults of assigned devices.
class VirtioIommu final : public VirtioDevice {
 public:
  [[nodiscard]] static VirtioIdentity describe();
  /// All outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(IommuDomains& domains, const GuestMemory& memory,
                                                                    VirtioSignals& signals);
  VirtioIommu(const VirtioIommu&) = delete;
  VirtioIommu& operator=(const VirtioIommu&) = delete;
  /// Waits for the request that is under way.
  ~VirtioIommu() override;

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  /// `bypass` only.
  void write_config(std::uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }
  void reset() override { domains_.reset(); }

 private:
  VirtioIommu(IommuDomains& domains, const GuestMemory& memory, VirtioSignals& signals, Fd stop);
  void work();
  [[nodiscard]] std::uint32_t answer(const VirtioChain& chain);

  VirtioIdentity identity_ = describe();
  IommuDomains& domains_;
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Fd stop_;
  std::jthread thread_;  // ends before the rest goes
};

}  // namespace pcivm::vmm
