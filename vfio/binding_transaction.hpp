// SPDX-License-Identifier: GPL-2.0-or-later
// Journalled execution of a binding plan, with undo. For bind, release and the VF transactions of sriov/.
#pragma once

#include <span>
#include <vector>

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
/// The same within a step that the caller has journalled, whose undo does not need to know how far this came.
[[nodiscard]] Result<void> move_to(const Host& host, Bdf function, const Target& target);

/// Gives a function to whichever driver the kernel finds, after loading its module if need be. None found is success;
/// the host is told.
[[nodiscard]] Result<void> probe_native(const Host& host, Journal& journal, Bdf function, const Target& target);

/// The deadline passed: the kernel holds locks that everything else would wait for. (A driver may also answer
/// ETIMEDOUT, which blocks nothing.)
[[nodiscard]] bool blocked(const Error& error);

/// Ends a transaction that failed with `cause` and whose undo ended as `back`: see Transaction::undo().
[[nodiscard]] Error conclude(Journal& journal, std::string_view subject, Result<void> back, Error cause);

/// One journalled transaction over one or more functions: an entry for each, written before the first is touched.
class Transaction final {
 public:
  struct Member {
    Move move;
    Record record;  ///< as of opening_record(), with what the intent needs
  };
  /// Fails with nothing touched and no entry left. `host` must outlive the object.
  [[nodiscard]] static Result<Transaction> begin(const Host& host, std::vector<Member> members);
  /// Carries out plan_all() and, where no driver was named, loads the native driver's module. Stops at the first
  /// failure, undoing nothing.
  [[nodiscard]] Result<void> carry_out();
  /// Journals that the kernel's part is done.
  [[nodiscard]] Result<void> mark(std::string_view step);
  /// Committed.
  [[nodiscard]] Result<void> close();
  /// Ends the transaction that failed with `cause`: all functions go back in reverse and their entries away
  /// (Errc::rolled_back); where that fails too the entry stays (Errc::stranded). After a timeout nothing is touched,
  /// because everything would block behind it: the entries stay (Errc::timeout).
  [[nodiscard]] Error undo(Error cause);

 private:
  explicit Transaction(const Host& host, std::vector<Member> members) : host_{&host}, members_{std::move(members)} {}
  [[nodiscard]] Journal& journal_of(Bdf function);
  [[nodiscard]] std::string subject() const;

  const Host* host_;
  std::vector<Member> members_;
  std::vector<Journal> journals_;  // of members_, same order
};

}  // namespace pcivm::vfio
