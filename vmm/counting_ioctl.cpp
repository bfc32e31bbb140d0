// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/counting_ioctl.hpp"

#include <linux/kvm.h>

namespace pcivm::vmm {

int CountingIoctl::call(FdRef fd, unsigned long request, void* argument) {
  if (request != KVM_RUN) add(request, 1);
  return next_.call(fd, request, argument);
}

void CountingIoctl::add(unsigned long request, std::uint64_t calls) {
  for (auto& slot : slots_) {
    unsigned long taken = 0;
    if (!slot.request.compare_exchange_strong(taken, request) && taken != request) continue;
    slot.count.fetch_add(calls, std::memory_order_relaxed);
    return;
  }
}

std::vector<std::pair<unsigned long, std::uint64_t>> CountingIoctl::counts() const {
  std::vector<std::pair<unsigned long, std::uint64_t>> all;
  for (const auto& slot : slots_) {
    if (slot.request == 0) break;
    all.emplace_back(slot.request, slot.count);
  }
  return all;
}

}  // namespace pcivm::vmm
