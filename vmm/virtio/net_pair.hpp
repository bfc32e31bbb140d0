// SPDX-License-Identifier: GPL-2.0-or-later
// The two queues that carry frames of one queue of a tap.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "vmm/virtio/ring.hpp"

namespace pcivm::vmm {

enum class NetQueue : std::uint8_t { receive, transmit };

/// Calls come as in VirtioDevice, one at a time.
class NetPair {
 public:
  virtual ~NetPair() = default;
  [[nodiscard]] virtual Result<void> start(NetQueue which, const VirtioQueueSetup& setup, std::uint64_t features) = 0;
  /// As VirtioDevice::stop_queue.
  virtual void stop(NetQueue which) = 0;
};

}  // namespace pcivm::vmm
