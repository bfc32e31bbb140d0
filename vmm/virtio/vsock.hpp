// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-vsock (virtio 1.2, 5.10) by the host's kernel (vhost-vsock): sockets between host and guest without a network.
#pragma once

#include <cstdint>
#include <memory>

#include "base/event_loop.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/interrupt_relay.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/vhost.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// The host's end for the guest with this address, which is the host's as long as the descriptor is open.
/// Errc::not_found: the kernel has no vhost-vsock; busy: another VM has the address.
[[nodiscard]] Result<VsockConfig> open_vsock(const SysRoot& root, IoctlPort& port, std::uint32_t cid);

/// Made and destroyed on the loop thread. The kernel works on the two queues that carry data; what it does not know of,
/// events, is never sent: they tell of a guest that was moved to another host.
class VirtioVsock final : public VirtioDevice {
 public:
  [[nodiscard]] static VirtioIdentity describe();
  /// All but the first outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(VsockConfig config, IoctlPort& port,
                                                                    EventLoop& loop, const GuestMemory& memory,
                                                                    VirtioSignals& signals);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override;
  void stop_queue(unsigned queue) override;

 private:
  VirtioVsock(std::uint64_t cid, Vhost vhost, const GuestMemory& memory, VirtioSignals& signals);
  [[nodiscard]] Result<void> run();

  VirtioIdentity identity_ = describe();
  std::uint64_t cid_;
  Vhost vhost_;
  VirtioSignals& signals_;
  VirtioQueues events_;
  std::unique_ptr<InterruptRelay> relay_;
  unsigned started_{};  // bits of the queues that the kernel has
};

}  // namespace pcivm::vmm
