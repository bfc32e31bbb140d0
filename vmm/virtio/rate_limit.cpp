// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/rate_limit.hpp"

#include <algorithm>

namespace pcivm::vmm {

std::chrono::nanoseconds RateLimit::wait(Time now) const {
  return limited() ? std::max(paid_ - now, std::chrono::nanoseconds{0}) : std::chrono::nanoseconds{0};
}

void RateLimit::pass(std::uint64_t amount, Time now) {
  if (!limited()) return;
  constexpr std::uint64_t kSecond = 1'000'000'000;
  constexpr std::uint64_t kMostCost = 1ULL << 60U;  // in a clock of 63 bits
  const std::chrono::nanoseconds cost{std::min(amount * kSecond / rate_, kMostCost)};
  paid_ = std::max(paid_, now - kBurst) + cost;
}

}  // namespace pcivm::vmm
