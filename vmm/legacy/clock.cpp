// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/clock.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"

namespace pcivm::vmm {

Clocks system_clocks() {
  return {.monotonic = [] { return Nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}; },
          .wall = [] { return Nanoseconds{std::chrono::system_clock::now().time_since_epoch()}; }};
}

Result<std::unique_ptr<LoopTimer>> LoopTimer::create(EventLoop& loop, std::function<void()> callback) {
  auto timer = std::unique_ptr<LoopTimer>{new LoopTimer{TRY(make_timerfd())}};
  timer->watch_ = TRY(loop.watch(timer->timer_.ref(), Interest::read,
                                 [number = timer->timer_.ref().number(), work = std::move(callback)] {
                                   // Zero: disarmed or armed anew between epoll and here.
                                   if (drain_eventfd(FdRef{number}) != 0) work();
                                 }));
  return timer;
}

void LoopTimer::arm(Nanoseconds first, Nanoseconds period) {
  // Zero would disarm instead of firing at once.
  const auto outcome = arm_timerfd(timer_.ref(), std::max(first, Nanoseconds{1}), period);
  if (!outcome) log::debug("timer not armed: {}", outcome.error().text());
}

void LoopTimer::disarm() {
  const auto outcome = arm_timerfd(timer_.ref(), Nanoseconds{0}, Nanoseconds{0});
  if (!outcome) log::debug("timer not disarmed: {}", outcome.error().text());
}

}  // namespace pcivm::vmm
