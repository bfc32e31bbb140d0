// SPDX-License-Identifier: GPL-2.0-or-later
// Journalled execution of a binding plan, with undo. For bind, release and the VF transactions of sriov/.
#pragma once

#include "vfio/binding_plan.hpp"
#include "vfio/host_lock.hpp"
#include "vfio/journal.hpp"

namespace pcivm::vfio {

/// The record every journal entry starts with: intent, identity, and the function's state now.
[[nodiscard]] Result<Record> opening_record(const Host& host, std::string_view intent, const Situation& now);
/// The state that a record was opened with, as a target to return to.
[[nodiscard]] Target former_target(const Record& record);

/// Plans from the function's state now and carries the plan out. Stops at the first failure, undoing nothing.
[[nodiscard]] Result<void> move_to(const Host& host, Journal& journal, Bdf function, const Target& target);

/// Gives a function without a driver to whichever driver the kernel finds, after loading its module if need be. None
/// found is success; the host is told.
[[nodiscard]] Result<void> probe_native(const Host& host, Journal& journal, Bdf function, const Target& target);

/// The deadline passed: the kernel holds locks that everything else would wait for. (A driver may also answer
/// ETIMEDOUT, which blocks nothing.)
[[nodiscard]] bool blocked(const Error& error);

/// Ends a transaction that failed with `cause` and whose undo ended as `back`: see undo().
[[nodiscard]] Error conclude(Journal& journal, std::string_view subject, Result<void> back, Error cause);

/// Ends a transaction that failed with `cause`: the function goes back to `former` and the journal entry away
/// (Errc::rolled_back), or, when that fails too, the entry stays (Errc::stranded). After a timeout nothing is touched,
/// because everything would block behind it: the entry stays (Errc::timeout).
[[nodiscard]] Error undo(const Host& host, Journal& journal, Bdf function, const Target& former, Error cause);

}  // namespace pcivm::vfio
