// SPDX-License-Identifier: GPL-2.0-or-later
// So many operations or bytes a second.
#pragma once

#include <chrono>
#include <cstdint>

namespace pcivm::vmm {

/// A token bucket, kept as the time at which all that passed is paid for. What passes may be larger than the bucket:
/// the next one then waits longer. Who passed nothing for a while has kBurst in store. Not synchronised; time is the
/// caller's, and does not go back.
class RateLimit final {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::nanoseconds kBurst = std::chrono::milliseconds{100};

  /// 0: no limit.
  explicit RateLimit(std::uint64_t per_second) : rate_{per_second} {}
  [[nodiscard]] bool limited() const { return rate_ != 0; }
  /// How long from `now` until the next may pass; zero: at once.
  [[nodiscard]] std::chrono::nanoseconds wait(Time now) const;
  /// So many pass, below 2^34.
  void pass(std::uint64_t amount, Time now);

 private:
  std::uint64_t rate_;
  Time paid_{};
};

}  // namespace pcivm::vmm
