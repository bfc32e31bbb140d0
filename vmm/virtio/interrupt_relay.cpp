// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/interrupt_relay.hpp"

#include <utility>

namespace pcivm::vmm {

Result<std::unique_ptr<InterruptRelay>> InterruptRelay::create(EventLoop& loop, VirtioSignals& signals,
                                                               unsigned queues) {
  std::unique_ptr<InterruptRelay> relay{new InterruptRelay{signals}};
  for (unsigned queue = 0; queue < queues; ++queue) {
    relay->events_.push_back(TRY(make_eventfd()));
    relay->forwards_.push_back(
        TRY(loop.watch(relay->events_.back().ref(), Interest::read, [raw = relay.get(), queue] {
          (void)drain_eventfd(raw->events_[queue].ref());
          raw->signals_.interrupt(queue);
        })));
  }
  return relay;
}

FdRef InterruptRelay::event(unsigned queue) const {
  return signals_.interrupt_event(queue).value_or(events_[queue].ref());
}

}  // namespace pcivm::vmm
