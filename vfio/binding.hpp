// SPDX-License-Identifier: GPL-2.0-or-later
// Giving a PCI function to another driver, and back, as transactions: success, or the function is as it was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/host_lock.hpp"
#include "vfio/journal.hpp"

namespace pcivm::vfio {

struct BindRequest {
  Bdf function;
  std::string driver{"vfio-pci"};
  std::vector<std::string> force{};  ///< kinds of use that are no obstacle
  std::optional<Owner> managed{};    ///< set: for this process's VM, to be returned when it ends
  bool remember{true};               ///< keep a record of the former driver for release()
};

struct ReleaseRequest {
  Bdf function;
  std::optional<std::string> driver{};  ///< "" = none; not set = who had it before, or whoever the kernel finds
  std::vector<std::string> force{};
};

struct Change {
  bool changed{};
  DriverState before;
  DriverState after;
};

/// Binds `function` to `driver`. Already there is success without change. Before anything is touched: Errc::not_found,
/// refused, busy, kernel (no such driver). Later: Errc::rolled_back, stranded or timeout.
[[nodiscard]] Result<Change> bind(const Host& host, const HostLock& lock, const BindRequest& request);

/// Gives `function` back. Not given away is success without change. Fails as bind().
[[nodiscard]] Result<Change> release(const Host& host, const HostLock& lock, const ReleaseRequest& request);

/// What bind() or release() would write, after the same checks; empty when there is nothing to do.
[[nodiscard]] Result<std::vector<std::string>> preview(const Host& host, const BindRequest& request);
[[nodiscard]] Result<std::vector<std::string>> preview(const Host& host, const ReleaseRequest& request);

/// What was done about one transaction that did not end.
struct Repair {
  Bdf function;
  std::string state;               ///< "returned to igbvf", "bound to vfio-pci", "gone", "replaced", "left: <why>"
  std::optional<Error> problem{};  ///< the entry is still there
};
/// Repairs bind and release entries that a crash left behind; others are not touched. An interrupted bind is undone,
/// unless all but its last step was done; an interrupted release is completed.
[[nodiscard]] Result<std::vector<Repair>> recover_bindings(const Host& host, const HostLock& lock);

}  // namespace pcivm::vfio
