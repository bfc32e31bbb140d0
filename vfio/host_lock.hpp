// SPDX-License-Identifier: GPL-2.0-or-later
// The one lock under which pcivm changes the host: flock(2) on /run/pcivm/lock.
#pragma once

#include <chrono>
#include <functional>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// Held from take() to destruction. Functions that change the host ask for a reference to it as proof.
///
/// A child that is stuck in a kernel call shares the lock's open file description. The destructor unlocks it all the
/// same; only when this process is killed does the lock stay until the stuck call ends, which is what we want.
class HostLock final {
 public:
  /// Waits up to `wait`; `on_wait` is told once, with the holder, when there is something to wait for.
  /// Errc::busy after that, naming the holder's pid, its command and since when it has the lock.
  [[nodiscard]] static Result<HostLock> take(const SysRoot& root, std::chrono::milliseconds wait,
                                             const std::function<void(std::string_view)>& on_wait = {});
  HostLock(HostLock&&) noexcept = default;
  HostLock& operator=(HostLock&&) = delete;
  ~HostLock();

 private:
  explicit HostLock(Fd fd) : fd_{std::move(fd)} {}
  Fd fd_;
};

}  // namespace pcivm::vfio
