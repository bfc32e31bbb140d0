// SPDX-License-Identifier: GPL-2.0-or-later
// Queues that the host's kernel works on (vhost, <linux/vhost.h>): doorbells and interrupts do not pass this process.
#pragma once

#include <cstdint>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/ring.hpp"

namespace pcivm::vmm {

/// One open /dev/vhost-*. One thread at a time. `port` and `memory` outlive it.
class Vhost final {
 public:
  [[nodiscard]] static Result<Vhost> adopt(IoctlPort& port, Fd device, const GuestMemory& memory);

  /// What this vhost can do, as virtio feature bits and VHOST_F_*.
  [[nodiscard]] std::uint64_t features() const { return features_; }
  /// Takes what of `features` it knows, and tells it of guest RAM. Before the first queue runs.
  [[nodiscard]] Result<void> configure(std::uint64_t features);
  /// Split queues only.
  [[nodiscard]] Result<void> set_queue(unsigned index, const VirtioQueueSetup& setup, FdRef doorbell, FdRef interrupt);

  /// vhost-net: which tap a queue belongs to, from when on it runs; without one it stops, and is waited for.
  [[nodiscard]] Result<void> set_tap(unsigned index, FdRef tap);
  [[nodiscard]] Result<void> clear_tap(unsigned index);
  /// vhost-vsock: whether both queues run.
  [[nodiscard]] Result<void> run_vsock(bool on);

 private:
  Vhost(IoctlPort& port, Fd device, const GuestMemory& memory, std::uint64_t features)
      : port_{&port}, device_{std::move(device)}, memory_{&memory}, features_{features} {}
  IoctlPort* port_;
  Fd device_;
  const GuestMemory* memory_;
  std::uint64_t features_;
};

/// vhost-vsock: the guest's address, before anybody owns the device. EADDRINUSE: another has it.
[[nodiscard]] Result<void> set_vsock_cid(IoctlPort& port, FdRef device, std::uint64_t cid);

}  // namespace pcivm::vmm
