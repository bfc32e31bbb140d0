// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-net (virtio 1.2, 5.1) on a tap, or with a process that carries its frames.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/event_loop.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/frame_port.hpp"
#include "vmm/virtio/net_pair.hpp"
#include "vmm/virtio/net_uapi.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// Made and destroyed on the loop thread, which serves the control queue. A pair of queues is carried by vhost where
/// the host gave one and the driver uses MSI-X, else by a thread. The link is down for good once the process is gone.
class VirtioNet final : public VirtioDevice {
 public:
  struct Wiring {
    IoctlPort& port;
    EventLoop& loop;
    const GuestMemory& memory;
    VirtioSignals& signals;
  };
  [[nodiscard]] static VirtioIdentity describe(const NetConfig& config);
  /// What is wired outlives the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(NetConfig config, const Wiring& wiring);

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override;
  void stop_queue(unsigned queue) override;
  void reset() override;

 private:
  struct Pair {
    std::unique_ptr<NetPair> user;
    std::unique_ptr<NetPair> vhost;  // none = there is no vhost
    NetPair* running{};              // from the first queue's start to the last one's stop
    unsigned started{};              // bits by NetQueue
  };
  VirtioNet(NetConfig config, const Wiring& wiring);
  [[nodiscard]] Result<void> build(std::vector<Fd> vhosts);
  [[nodiscard]] std::unique_ptr<FramePort> make_port(unsigned pair);
  void lose_link(const Error& why);
  [[nodiscard]] bool can_use_vhost(unsigned pair) const;
  [[nodiscard]] std::uint32_t control(const VirtioChain& chain);
  [[nodiscard]] bool set_pairs(unsigned count);

  NetConfig config_;
  VirtioIdentity identity_;
  net_uapi::Config registers_{};
  IoctlPort& port_;
  EventLoop& loop_;
  const GuestMemory& memory_;
  VirtioSignals& signals_;
  std::atomic<bool> link_{true};
  std::vector<Pair> pairs_;
  VirtioQueues control_;
  std::optional<unsigned> control_queue_;  // which queue it is now
  Watch doorbell_;                         // of the control queue
};

}  // namespace pcivm::vmm
