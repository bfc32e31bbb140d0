// SPDX-License-Identifier: GPL-2.0-or-later
// Work that may block in the kernel, done in a child process with a deadline.
#pragma once

#include <chrono>
#include <functional>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// Forks, runs `work` in the child and returns its value (0..255, by convention an errno; larger values are clipped).
/// Errc::timeout after `deadline`: the child is sent SIGKILL and left to the kernel, not waited for. Errc::internal
/// when the child died by a signal. Call it only while this process is single-threaded.
[[nodiscard]] Result<int> run_child(const std::function<int()>& work, std::chrono::milliseconds deadline);

/// poll(2) until `fd` is readable (of a pidfd: until its process has ended); false = `deadline` passed. Goes on after
/// signals with the time that is left.
[[nodiscard]] Result<bool> readable_within(FdRef fd, std::chrono::milliseconds deadline);

/// While it lives, `tick` is called in this process whenever readable_within() starts and every tenth of a second
/// that it waits; for telling the operator. Process-wide and one at a time, as run_child() is for one thread only.
class ChildWaitObserver final {
 public:
  explicit ChildWaitObserver(std::function<void()> tick);
  ChildWaitObserver(const ChildWaitObserver&) = delete;
  ChildWaitObserver& operator=(const ChildWaitObserver&) = delete;
  ~ChildWaitObserver();
};

}  // namespace pcivm
