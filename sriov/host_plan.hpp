// SPDX-License-Identifier: GPL-2.0-or-later
// From what a host is to what its configuration says, as an ordered list of steps. Pure: touches nothing, and the same
// planner serves `plan`, `apply`, `rollback` and the undo of an apply that failed.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sriov/host_config.hpp"
#include "sriov/host_state.hpp"
#include "sriov/vf_make.hpp"

namespace pcivm::sriov {

/// sriov_numvfs from 0, or with all present VFs removed first (former). One target a VF, which says all that the VF
/// shall be: what it keeps of a former VF with its index is in it.
struct MakeVfs {
  unsigned former{};  ///< 0: a plain creation
  std::vector<VfTarget> targets{};
  bool autoprobe_after{true};
  Eswitch eswitch{};    ///< what of it is to be set, where the PF's driver wants it
  Settings settings{};  ///< of its adapter
  bool operator==(const MakeVfs&) const = default;
};
struct RemoveVfs {
  bool operator==(const RemoveVfs&) const = default;
};
/// Attributes of one VF that exists.
struct SetVf {
  unsigned index{};
  std::vector<VfChange> changes{};
  VfWish wish{};  ///< the same as a wish
  bool operator==(const SetVf&) const = default;
};
/// PlanStep::function, or a VF of it, to another driver, or only other settings beside the driver it has.
struct SetDriver {
  std::vector<Bdf> functions{};  ///< one, or all members of a group: one transaction
  /// "" = none; not set = back to the host: whichever driver the kernel finds. One that is there already stays.
  std::optional<std::string> driver{};
  /// With driver_override, and remembered (vfio::bind). False: to that driver without override (vfio::release with its
  /// name): its native one, or one that was found so.
  bool lasting{true};
  vfio::Settings settings{};  ///< what these files hold after it, also where probing changes them
  bool operator==(const SetDriver&) const = default;
};
struct SetEswitch {
  Eswitch wish{};
  bool operator==(const SetEswitch&) const = default;
};
/// Exactly one of them: sriov_drivers_autoprobe of the PF, mtu or flags of its interface.
struct SetLink {
  std::optional<bool> autoprobe{};
  std::optional<unsigned> mtu{};
  std::optional<bool> up{};
  bool operator==(const SetLink&) const = default;
};
using PlanAction = std::variant<MakeVfs, RemoveVfs, SetVf, SetDriver, SetEswitch, SetLink>;

struct Risk {
  std::string code{};  ///< "vfs-vanish", "recreate", "link-drops", "driver-changes": stable
  std::string text{};
  bool operator==(const Risk&) const = default;
};

struct PlanStep {
  std::string device{};  ///< name in the configuration
  Bdf function{};
  PlanAction action{};
  std::string text{};    ///< "make 7 VFs of 0000:01:00.0", what the operator reads
  std::string reason{};  ///< "host.yaml:12:7 wants numVfs 7, the host has 0"
  std::vector<Risk> risks{};
  bool operator==(const PlanStep&) const = default;
};

/// Why a device cannot be brought to what the configuration says; nothing is planned for it.
struct PlanProblem {
  std::string device{};
  Place place{};
  std::string code{};  ///< stable; docs/plan.md lists them
  std::string text{};
  std::string fix{};
  bool operator==(const PlanProblem&) const = default;
};

/// One managed key and how the host stands to it, for `status`.
struct KeyStatus {
  std::string device{};
  std::string key{};     ///< "sriov.numVfs", "sriov.vfs[3].vlan", "passthrough.bind"
  std::string wanted{};
  std::optional<std::string> found{};  ///< not set: not reported by the driver
  Place place{};
  enum class Verdict { same, drift, unknown } verdict{};
  bool operator==(const KeyStatus&) const = default;
};

/// A device of the configuration and the function that it is on this host.
struct Resolved {
  std::string device{};
  std::optional<Bdf> function{};
  bool operator==(const Resolved&) const = default;
};

struct Plan {
  std::vector<Resolved> devices{};
  std::vector<PlanStep> steps{};
  std::vector<PlanProblem> problems{};
  std::vector<KeyStatus> keys{};
  std::string id{};  ///< the same for the same steps on the same host: a plan that was shown is refused when it is stale
  bool operator==(const Plan&) const = default;
};

/// `only`: just this device of the configuration (its name), when not empty.
[[nodiscard]] Plan plan_host(const HostConfig& config, const HostState& state, std::string_view only = {});

}  // namespace pcivm::sriov
