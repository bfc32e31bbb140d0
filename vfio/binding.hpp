// SPDX-License-Identifier: GPL-2.0-or-later
// Giving a PCI function to another driver, and back, as transactions: success, or the function is as it was.
#pragma once

#include <optional>
#include <span>
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
  Settings settings{};               ///< to set beside the driver; release() puts the former values back
  std::string on_release{};          ///< program that must succeed before anybody else has it (release_hook.hpp)
};

struct ReleaseRequest {
  Bdf function;
  std::optional<std::string> driver{};  ///< "" = none; not set = who had it before, or whoever the kernel finds
  std::vector<std::string> force{};
  Settings settings{};  ///< what these files hold afterwards, whatever they held before a bind
  bool to_native{};     ///< a function that has no driver is offered to its native one, too; else it is left alone
};

struct Change {
  bool changed{};
  DriverState before;
  DriverState after;
};

/// Binds each function to its driver, all or none, in one transaction (plan_all). Already there is success without
/// change. Groups that no native driver is in afterwards are asked from the kernel: they must be viable. Before
/// anything is touched: Errc::not_found, refused, busy, kernel (no such driver). Later: Errc::rolled_back, stranded or
/// timeout.
[[nodiscard]] Result<std::vector<Change>> bind_all(const Host& host, const HostLock& lock,
                                                   std::span<const BindRequest> requests);
/// The case of one function.
[[nodiscard]] Result<Change> bind(const Host& host, const HostLock& lock, const BindRequest& request);

/// Gives each function back, all or none. Not given away is success without change. Fails as bind_all().
[[nodiscard]] Result<std::vector<Change>> release_all(const Host& host, const HostLock& lock,
                                                      std::span<const ReleaseRequest> requests);
/// The case of one function.
[[nodiscard]] Result<Change> release(const Host& host, const HostLock& lock, const ReleaseRequest& request);

/// What bind_all() or release_all() would write, after the same checks; empty when there is nothing to do.
[[nodiscard]] Result<std::vector<std::string>> preview(const Host& host, std::span<const BindRequest> requests);
[[nodiscard]] Result<std::vector<std::string>> preview(const Host& host, std::span<const ReleaseRequest> requests);

/// What was done about one transaction that did not end.
struct Repair {
  Bdf function;
  std::string state;               ///< "returned to igbvf", "bound to vfio-pci", "gone", "replaced", "left: <why>"
  std::optional<Error> problem{};  ///< the entry is still there
};
/// True for the intents that recover_bindings() repairs: bind, release, reset.
[[nodiscard]] bool is_bindings_own(std::string_view intent);
/// Repairs those entries when a crash left them behind; others are not touched. An interrupted bind is undone for
/// all its functions, unless all but its last step was done for all of them; an interrupted release is completed.
[[nodiscard]] Result<std::vector<Repair>> recover_bindings(const Host& host, const HostLock& lock);

}  // namespace pcivm::vfio
