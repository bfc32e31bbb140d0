// SPDX-License-Identifier: GPL-2.0-or-later
// What every transaction on the host is given: where the host is, who may tell that a function is in use, and how long
// the kernel may take.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"
#include "vfio/blocking_calls.hpp"

namespace pcivm::vfio {

/// Who uses a function; empty = nobody.
using UsersOf = std::function<Result<std::vector<iommu::InUse>>(const SysRoot&, Bdf)>;

/// Passed by reference, outlives the call. Single-threaded: blocking writes fork.
struct Host {
  const SysRoot& root;
  UsersOf users_of{iommu::users_of};
  /// For asking the kernel about groups; null: they are not asked (another root than the live host).
  IoctlPort* ioctls{nullptr};
  /// For one kernel call that may block (unbind, probe).
  std::chrono::milliseconds deadline{30'000};
  /// For one read that only waits for a lock: held longer than this, somebody is stuck with it.
  std::chrono::milliseconds read_deadline{5'000};
  /// For sriov_numvfs, in which the PF driver makes all VFs: a minute was seen for 63 of them.
  std::chrono::milliseconds numvfs_deadline{180'000};
  /// For the host lock.
  std::chrono::milliseconds lock_wait{30'000};
  /// A line for the operator while something takes long, and for what could not be done but does not matter.
  std::function<void(std::string_view)> note{[](std::string_view) {}};
  /// Carries what may block; its child is renewed when the host lock is taken.
  mutable BlockingCalls calls{};
};

/// Errc::busy, naming every holder, when `function` is in use by a kind that is not in `force`.
[[nodiscard]] Result<void> refuse_in_use(const Host& host, Bdf function, const std::vector<std::string>& force);

/// The content of a sysfs file whose reader takes a lock that a stuck writer may hold (sriov_numvfs, driver_override):
/// read in a child. Errc::timeout after the shorter of the host's deadlines, naming who is in the way (vfio/blocker).
[[nodiscard]] Result<std::string> read_within(const Host& host, std::string_view path);
/// One write(2) that may block: SysRoot::write_within() with the host's deadline, or with another.
[[nodiscard]] Result<void> write_within(const Host& host, std::string_view path, std::string_view value);
[[nodiscard]] Result<void> write_within(const Host& host, std::string_view path, std::string_view value,
                                        std::chrono::milliseconds deadline);

}  // namespace pcivm::vfio
