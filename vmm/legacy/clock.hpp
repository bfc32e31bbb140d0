// SPDX-License-Identifier: GPL-2.0-or-later
// Where legacy devices take the time from, and how they are woken: both replaceable in tests.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

using Nanoseconds = std::chrono::nanoseconds;

/// Any thread.
struct Clocks {
  std::function<Nanoseconds()> monotonic;  ///< never goes back
  std::function<Nanoseconds()> wall;       ///< since 1970-01-01 UTC
};
[[nodiscard]] Clocks system_clocks();

/// A timer that calls back on the event loop's thread.
class Timer {
 public:
  virtual ~Timer() = default;
  /// Any thread. Replaces what was armed: `first` from now, then every `period` (zero = once). A callback that is
  /// already under way may still come. Expiries that nobody handled in time are one callback.
  virtual void arm(Nanoseconds first, Nanoseconds period) = 0;
  /// Any thread.
  virtual void disarm() = 0;
};

/// timerfd(2) on the loop. Created and destroyed on the loop thread.
class LoopTimer final : public Timer {
 public:
  [[nodiscard]] static Result<std::unique_ptr<LoopTimer>> create(EventLoop& loop, std::function<void()> callback);
  void arm(Nanoseconds first, Nanoseconds period) override;
  void disarm() override;

 private:
  explicit LoopTimer(Fd timer) : timer_{std::move(timer)} {}
  Fd timer_;
  Watch watch_;  // after timer_: must go first
};

}  // namespace pcivm::vmm
