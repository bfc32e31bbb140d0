// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/dma_ready.hpp"

#include <utility>

namespace pcivm::vmm {

void DmaReady::set(Result<void> outcome) {
  {
    const std::scoped_lock lock{mutex_};
    if (outcome_) return;
    outcome_ = std::move(outcome);
  }
  changed_.notify_all();
}

Result<void> DmaReady::wait() const {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return outcome_.has_value(); });
  return *outcome_;
}

bool DmaReady::is_set() const {
  const std::scoped_lock lock{mutex_};
  return outcome_.has_value();
}

}  // namespace pcivm::vmm
