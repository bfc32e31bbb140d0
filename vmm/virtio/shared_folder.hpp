// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-fs (virtio 1.2, 5.11): a folder of the host, which a daemon (virtiofsd) serves over vhost-user.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/interrupt_relay.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/vhost_user.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// Made and destroyed on the loop thread, which sees the daemon end. The guest is then asked to reset the device, which
/// does not work any more; the VM goes on.
class VirtioSharedFolder final : public VirtioDevice {
 public:
  [[nodiscard]] static VirtioIdentity describe();
  /// All but the first outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(SharedFolderConfig config, EventLoop& loop,
                                                                    const GuestMemory& memory, VirtioSignals& signals);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override;
  void stop_queue(unsigned queue) override;

 private:
  VirtioSharedFolder(const SharedFolderConfig& config, std::unique_ptr<VhostUser> daemon, VirtioSignals& signals);
  void on_socket();
  void tell(const Error& loss);

  VirtioIdentity identity_ = describe();
  std::array<std::byte, 40> registers_{};
  std::unique_ptr<VhostUser> daemon_;
  VirtioSignals& signals_;
  std::unique_ptr<InterruptRelay> relay_;
  std::atomic<bool> told_{false};
  unsigned started_{};  // bits of the queues that the daemon has
  Watch socket_;        // goes before the daemon's
};

}  // namespace pcivm::vmm
