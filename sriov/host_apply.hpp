// SPDX-License-Identifier: GPL-2.0-or-later
// A plan carried out as one transaction over all functions that it touches. Each step is a transaction by itself;
// around them, the state before the first is kept (apply_record.hpp), and the way back from wherever it stopped is
// planned by the same planner, from the host as it is then to that state.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "sriov/apply_record.hpp"
#include "sriov/apply_step.hpp"

namespace pcivm::sriov {

/// A step that starts (neither set), is done, or has failed.
struct StepTold {
  const PlanStep& step;
  std::size_t number{};  ///< from 1
  std::size_t count{};
  bool undoing{};
  std::optional<std::chrono::milliseconds> took{};
  const Error* error{};
};

/// What becomes of the state that was kept when the plan was carried out.
enum class Afterwards {
  remember,  ///< for rollback, in place of the former one
  nothing,   ///< what rollback goes back to stays as it was (boot, hot-plug)
  forget,    ///< there is nothing more to go back to (rollback)
};

struct ApplyRequest {
  const Plan& plan;
  const HostState& before;  ///< that the plan was made of, with the lock held
  Afterwards afterwards{Afterwards::remember};
  std::function<void(const StepTold&)> on_step{[](const StepTold&) {}};
  /// Asked between the steps; true: stop, and undo what was done.
  std::function<bool()> interrupted{[] { return false; }};
};
inline constexpr std::string_view kInterrupted{"apply.interrupted"};

/// Before anything is touched: Errc::busy naming every holder, or that an earlier apply could not be undone;
/// Errc::kernel when the state cannot be kept. Later: Errc::rolled_back, all is as before; Errc::stranded, telling what
/// is not; Errc::timeout when the kernel blocks, and then nothing more is touched.
[[nodiscard]] Result<void> apply_plan(const StepTools& tools, const ApplyRequest& request);

/// From the host as it is to what it was before the last apply. Errc::not_found when nothing was applied.
struct Rollback {
  HostState now;
  Plan plan;
};
[[nodiscard]] Result<Rollback> plan_rollback(const vfio::Host& host, VfPort* port);

/// Undoes an apply that did not end, in the boot in which it ran; after a restart its VFs and bindings are gone, and
/// only its record goes. One repair a function. Comes after the repair of single transactions.
[[nodiscard]] Result<std::vector<vfio::Repair>> recover_apply(const StepTools& tools);

}  // namespace pcivm::sriov
