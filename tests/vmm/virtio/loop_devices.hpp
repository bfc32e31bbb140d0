// SPDX-License-Identifier: GPL-2.0-or-later
// A device that an event loop serves, with a driver for one queue.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "base/event_loop.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::test {

class LoopDevices : public testing::Test {
 protected:
  void make_signals(unsigned queues) {
    signals_ = vmm::VirtioSignals::create("device", queues, true, [](const Error&) {}).value();
    signals_->use_msix(true);
    for (unsigned queue = 0; queue < queues; ++queue) signals_->set_queue_vector(queue, 0);
  }
  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    ASSERT_THAT(loop_->run(), IsOk());
  }
  bool interrupted() { return drain_eventfd(signals_->vector_event(0)) != 0; }

  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  vmm::GuestMemory memory_ = ring_memory();
  SplitDriver driver_{memory_, 8};
  std::unique_ptr<vmm::VirtioSignals> signals_;
};

}  // namespace pcivm::test
