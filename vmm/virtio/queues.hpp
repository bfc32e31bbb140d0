// SPDX-License-Identifier: GPL-2.0-or-later
// The queues of a device that is emulated in this process: started and stopped by vCPUs, worked on by a thread of ours.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/ring.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// start() and stop() on any thread. The rest is for the thread that does the work, which holds lock() meanwhile; the
/// same lock may guard what else of the device belongs to its queues.
class VirtioQueues final {
 public:
  /// Queues are counted from 0 here; for `signals` they start at `first`.
  VirtioQueues(const GuestMemory& memory, VirtioSignals& signals, unsigned count, unsigned first = 0)
      : memory_{memory}, signals_{signals}, first_{first}, queues_(count) {}

  /// As VirtioDevice::start_queue; the worker finds the doorbell signalled.
  [[nodiscard]] Result<void> start(unsigned queue, const VirtioQueueSetup& setup, std::uint64_t features);
  /// Nothing is taken any more from now on; waits until what hold() counts was released.
  void stop(unsigned queue);

  [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock{mutex_}; }
  [[nodiscard]] bool active(unsigned queue) const { return queues_[queue].ring != nullptr && !queues_[queue].stopping; }

  /// The next chain; false when there is none, or the queue is not active. A driver that broke the specification is
  /// told to reset the device, and the queue ends.
  [[nodiscard]] bool take(unsigned queue, VirtioChain& chain);
  /// take(), and once more when something came before the queue rests.
  [[nodiscard]] bool next(unsigned queue, VirtioChain& chain) {
    return take(queue, chain) || (rest(queue) && take(queue, chain));
  }
  void give(unsigned queue, const VirtioChain& chain, std::uint32_t written);
  /// True when the driver is to be interrupted for what was given.
  [[nodiscard]] bool publish(unsigned queue);
  /// publish(), and the interrupt.
  void finish(unsigned queue);
  /// The queue is about to rest; true: something came meanwhile.
  [[nodiscard]] bool rest(unsigned queue);
  /// Ends the queue because of what the driver put into it.
  void refuse(unsigned queue, const Error& error);

  /// The kernel works with buffers of the queue: stop() waits for as many release() calls.
  void hold(unsigned queue) { ++queues_[queue].held; }
  void release(unsigned queue);
  /// The thread that does the work ends for good: stop() waits for nothing, and nothing is taken.
  void abandon(unsigned queue);

  /// For a thread that serves one queue: waits for its doorbell. False: `stop` is signalled. Without the lock.
  [[nodiscard]] bool await(unsigned queue, FdRef stop) const;
  /// Serves a queue whose chains can be answered at once: `answer` gets each and returns how many bytes it wrote. Takes
  /// the lock. Comes back by the doorbell when a guest gives it too much to do at a time.
  template <class Answer>
  void serve(unsigned queue, Answer&& answer) {
    const auto held = lock();
    VirtioChain chain;
    for (unsigned done = 0; next(queue, chain); ++done) {
      give(queue, chain, answer(chain));
      if (done == kMostAtOnce) {
        signal_eventfd(signals_.doorbell(first_ + queue));
        break;
      }
    }
    finish(queue);
  }

 private:
  static constexpr unsigned kMostAtOnce = 1024;
  struct Queue {
    std::unique_ptr<VirtioRing> ring;
    bool stopping{};
    bool abandoned{};
    unsigned held{};
  };
  const GuestMemory& memory_;
  VirtioSignals& signals_;
  unsigned first_;
  std::mutex mutex_;
  std::condition_variable released_;
  std::vector<Queue> queues_;  // guarded by mutex_
};

}  // namespace pcivm::vmm
