// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/queues.hpp"

#include <poll.h>

#include <array>
#include <string>
#include <utility>

namespace pcivm::vmm {

Result<void> VirtioQueues::start(unsigned queue, const VirtioQueueSetup& setup, std::uint64_t features) {
  auto ring = TRY(VirtioRing::create(memory_, setup, features));
  {
    const std::scoped_lock lock{mutex_};
    if (queues_[queue].abandoned) return fail(Errc::kernel, "nobody works for this device any more");
    queues_[queue].ring = std::move(ring);
    queues_[queue].stopping = false;
  }
  signal_eventfd(signals_.doorbell(first_ + queue));
  return {};
}

void VirtioQueues::stop(unsigned queue) {
  std::unique_lock lock{mutex_};
  auto& stopped = queues_[queue];
  stopped.stopping = true;
  released_.wait(lock, [&stopped] { return stopped.held == 0; });
  stopped.ring.reset();
}

void VirtioQueues::release(unsigned queue) {
  if (--queues_[queue].held == 0) released_.notify_all();
}

void VirtioQueues::abandon(unsigned queue) {
  queues_[queue].held = 0;
  queues_[queue].stopping = queues_[queue].abandoned = true;
  released_.notify_all();
}

bool VirtioQueues::take(unsigned queue, VirtioChain& chain) {
  if (!active(queue)) return false;
  auto taken = queues_[queue].ring->take(chain);
  if (!taken) {
    refuse(queue, taken.error());
    return false;
  }
  if (*taken) queues_[queue].ring->want_no_signal();
  return *taken;
}

void VirtioQueues::refuse(unsigned queue, const Error& error) {
  queues_[queue].stopping = true;
  signals_.broken(Error{error}.within("queue " + std::to_string(first_ + queue)));
}

void VirtioQueues::give(unsigned queue, const VirtioChain& chain, std::uint32_t written) {
  if (queues_[queue].ring) queues_[queue].ring->give(chain, written);
}

bool VirtioQueues::publish(unsigned queue) { return queues_[queue].ring && queues_[queue].ring->publish(); }

void VirtioQueues::finish(unsigned queue) {
  if (publish(queue)) signals_.interrupt(first_ + queue);
}

bool VirtioQueues::await(unsigned queue, FdRef stop) const {
  const auto doorbell = signals_.doorbell(first_ + queue);
  std::array<pollfd, 2> events{{{.fd = doorbell.number(), .events = POLLIN, .revents = 0},
                                {.fd = stop.number(), .events = POLLIN, .revents = 0}}};
  (void)::poll(events.data(), events.size(), -1);  // after a signal there is nothing to do, and that is done
  if (events[1].revents != 0) return false;
  (void)drain_eventfd(doorbell);
  return true;
}

bool VirtioQueues::rest(unsigned queue) { return active(queue) && queues_[queue].ring->ask_for_signal(); }

}  // namespace pcivm::vmm
