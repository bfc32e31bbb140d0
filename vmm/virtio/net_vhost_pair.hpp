// SPDX-License-Identifier: GPL-2.0-or-later
// Frames between a tap and a guest, carried by the host's kernel (vhost-net).
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/virtio/net_pair.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/vhost.hpp"

namespace pcivm::vmm {

/// Only for queues that have an interrupt_event(): vhost cannot raise a line.
class NetVhostPair final : public NetPair {
 public:
  /// As NetUserPair::create.
  NetVhostPair(Vhost vhost, FdRef tap, unsigned first, VirtioSignals& signals)
      : vhost_{std::move(vhost)}, tap_{tap.number()}, first_{first}, signals_{signals} {}

  [[nodiscard]] Result<void> start(NetQueue which, const VirtioQueueSetup& setup, std::uint64_t features) override;
  void stop(NetQueue which) override;

 private:
  Vhost vhost_;
  int tap_;
  unsigned first_;
  VirtioSignals& signals_;
  std::array<bool, 2> running_{};  // by NetQueue
};

}  // namespace pcivm::vmm
