// SPDX-License-Identifier: GPL-2.0-or-later
// The plan of one device while it is being made; for sriov/host_plan*.cpp only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sriov/host_config.hpp"
#include "sriov/host_plan.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::sriov {

/// In this order over all devices. A link comes up before VFs are made: some drivers need that, others take rates only
/// then.
enum class Phase : std::uint8_t { removal, driver, up, eswitch, making, vfs, link };

/// Which driver is wanted, and how it is got there.
struct DriverWish {
  std::optional<std::string> driver{};  ///< "" = none; not set = the host's
  bool lasting{true};                   ///< with driver_override
  bool exact{};                         ///< the override counts too
};

struct Draft {
  const HostConfig& config;
  const HostState& state;
  const DeviceEntry& device;
  const FunctionState& function;
  std::vector<std::pair<Phase, PlanStep>> steps{};
  std::vector<PlanProblem> problems{};
  std::vector<KeyStatus> keys{};
  bool driver_moves{};  ///< the function gets another driver here: what its present one tells will not hold

  PlanStep& add(Phase phase, PlanAction action, std::string text, std::string reason);
  void refuse(const Place& place, std::string code, std::string text, std::string fix);
  /// Enters a managed key; true when the host is known to be otherwise.
  bool compare(std::string key, std::string wanted, std::optional<std::string> found, const Place& place);
  [[nodiscard]] std::string name() const { return function.address.to_string(); }
};

/// What one device must know of the others.
struct Around {
  std::map<Bdf, const DeviceEntry*> devices{};
  std::map<Bdf, std::string> moved{};  ///< functions that got a SetDriver already, and its driver
};

/// Has the host no say over a function with this driver?
[[nodiscard]] bool given_away(std::string_view driver);
/// "host", "none" or a driver's name, as in a file.
[[nodiscard]] DriverWish driver_wish(std::string_view bind);
[[nodiscard]] DriverWish driver_wish(const vfio::DriverState& former);
[[nodiscard]] bool is_at(const vfio::DriverState& now, const DriverWish& wish);
/// "none" for "".
[[nodiscard]] std::string shown(std::string_view driver);
/// How a file would name it: "host", "none", "vfio-pci".
[[nodiscard]] std::string bind_text(const vfio::DriverState& state);
[[nodiscard]] std::string on_off(bool value);
/// "host.yaml:12:7"
[[nodiscard]] std::string where(const Place& place);
/// "host.yaml:12:7 wants numVfs 7, the host has 0"
[[nodiscard]] std::string reason_text(const Place& place, std::string_view key, std::string_view wanted,
                                      std::string_view found);
[[nodiscard]] Risk driver_risk(std::string_view netdev, std::string_view driver);
/// Everything that a pool's name may be wrong in.
void check_pool(Draft& draft, const std::optional<std::string>& pool, const Place& place);

/// Driver and settings of a function that is given away, or of any in a way back.
void plan_passthrough(Draft& draft, Around& around);
/// A PF whose VFs are wanted and that is given away itself comes back first.
void plan_return(Draft& draft);
/// The PF, its VFs and its interface.
void plan_sriov(Draft& draft);
/// Enters the keys of its eswitch.
void compare_eswitch(Draft& draft, const Eswitch& wish, const Eswitch& now, const Place& place);
/// What of `wish` is to be set. Some drivers tell inline mode and encap in switchdev mode only: then they go with the
/// mode.
[[nodiscard]] Eswitch due_eswitch(const Eswitch& wish, const Eswitch& now);
/// The part of it about the interface; `makes`: VFs are made, for which it may have to be up.
void plan_interface(Draft& draft, bool makes);
/// And about new VFs; those that are made leave autoprobe as wanted.
void plan_autoprobe(Draft& draft, bool makes);
/// All VFs of the function go; keys and reasons are the caller's.
void add_removal(Draft& draft, std::string reason);

// ---- VFs: host_plan_vfs.cpp, host_plan_vf_steps.cpp ----

/// What is wanted of one VF.
struct VfWanted {
  const VfEntry* entry{};  ///< null: only what holds for all
  VfWish wish{};
  std::optional<DriverWish> driver{};
  std::string bind{};  ///< as the file says it
};
[[nodiscard]] const Place& place_of(const Draft& draft, const VfWanted& wanted);
/// One a VF. Entries that cannot be are refused.
[[nodiscard]] std::vector<VfWanted> wanted_vfs(Draft& draft, unsigned count);
/// For VFs that are made: each with what it keeps of the one with its index.
[[nodiscard]] std::vector<VfTarget> targets_of(Draft& draft, const std::vector<VfWanted>& wanted, bool switchdev);
/// Enters the keys of all VFs, which are there or not.
void compare_vfs(Draft& draft, const std::vector<VfWanted>& wanted);
/// Steps for VFs that stay. `ports_appear`: the eswitch goes to switchdev mode, where VFs tell more than now.
void plan_vfs(Draft& draft, const std::vector<VfWanted>& wanted, bool ports_appear);

/// A stable text of all that a step does, for Plan::id.
[[nodiscard]] std::string canonical(const PlanStep& step);

}  // namespace pcivm::sriov
