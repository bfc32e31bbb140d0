// SPDX-License-Identifier: GPL-2.0-or-later
// "Guest RAM is mapped for DMA": set once by the thread that maps it while the guest already boots. A device cannot do
// DMA before its Bus Master Enable is written, and that write waits here.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/result.hpp"

namespace pcivm::vmm {

/// Any thread. Only the first set() counts; a stopping machine may set an error to free whoever waits.
class DmaReady final {
 public:
  void set(Result<void> outcome);
  /// Blocks until set(); the outcome of the mapping.
  [[nodiscard]] Result<void> wait() const;
  [[nodiscard]] bool is_set() const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::optional<Result<void>> outcome_;  // guarded by mutex_
};

}  // namespace pcivm::vmm
