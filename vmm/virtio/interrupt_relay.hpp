// SPDX-License-Identifier: GPL-2.0-or-later
// Interrupts of queues that somebody else works on: the host's kernel (vhost) or another process (vhost-user).
#pragma once

#include <memory>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Made and destroyed on the loop thread, which raises the line for a driver without MSI-X.
class InterruptRelay final {
 public:
  /// `loop` and `signals` outlive it.
  [[nodiscard]] static Result<std::unique_ptr<InterruptRelay>> create(EventLoop& loop, VirtioSignals& signals,
                                                                      unsigned queues);
  InterruptRelay(const InterruptRelay&) = delete;
  InterruptRelay& operator=(const InterruptRelay&) = delete;

  /// What to signal when used buffers are there: the vector itself where there is one. The same from start to stop of a
  /// queue. Any thread.
  [[nodiscard]] FdRef event(unsigned queue) const;

 private:
  explicit InterruptRelay(VirtioSignals& signals) : signals_{signals} {}
  VirtioSignals& signals_;
  std::vector<Fd> events_;       // by queue
  std::vector<Watch> forwards_;  // go before the events
};

}  // namespace pcivm::vmm
