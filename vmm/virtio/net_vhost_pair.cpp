// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/net_vhost_pair.hpp"

#include <utility>

namespace pcivm::vmm {

Result<void> NetVhostPair::start(NetQueue which, const VirtioQueueSetup& setup, std::uint64_t features) {
  const auto index = static_cast<unsigned>(which);
  const auto event = signals_.interrupt_event(first_ + index);
  if (!event) return fail(Errc::internal, "a vhost queue without a vector");
  if (!running_[0] && !running_[1]) TRY(vhost_.configure(features));
  TRY(vhost_.set_queue(index, setup, signals_.doorbell(first_ + index), *event));
  TRY(vhost_.set_tap(index, FdRef{tap_}));
  running_.at(index) = true;
  // What was made available before is looked at.
  signal_eventfd(signals_.doorbell(first_ + index));
  return {};
}

void NetVhostPair::stop(NetQueue which) {
  const auto index = static_cast<unsigned>(which);
  if (!std::exchange(running_.at(index), false)) return;
  if (auto cleared = vhost_.clear_tap(index); !cleared) signals_.report(cleared.error());
}

}  // namespace pcivm::vmm
