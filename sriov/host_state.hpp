// SPDX-License-Identifier: GPL-2.0-or-later
// What the host is, as far as its configuration is about it. Pure data but for read_host().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/parse.hpp"
#include "sriov/eswitch.hpp"
#include "sriov/host_config.hpp"
#include "sriov/pf_adapter.hpp"
#include "sriov/vf_attributes.hpp"
#include "sriov/vf_port.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::sriov {

struct VfState {
  Bdf address{};
  vfio::DriverState driver{};
  VfAttributes attributes{};
  std::string netdev{};  ///< empty = none here
  bool operator==(const VfState&) const = default;
};

/// What a PF has beside what every function has.
struct PfState {
  unsigned total_vfs{};
  bool autoprobe{true};
  Eswitch eswitch{};  ///< nothing set: no devlink
  std::optional<unsigned> mtu{};
  std::optional<bool> up{};
  Settings settings{};          ///< that its VFs were made with
  std::vector<VfState> vfs{};   ///< by index; size = sriov_numvfs
  bool operator==(const PfState&) const = default;
};

struct FunctionState {
  Bdf address{};
  PciId id{};
  PciId subsystem{};
  std::uint32_t class_code{};
  bool is_vf{};
  std::optional<unsigned> iommu_group{};  ///< only to find the members of a group now; never kept
  // What a match may name; not set or empty: the host does not say.
  std::optional<MacAddress> permanent_mac{};
  std::optional<Guid> permanent_guid{};
  std::vector<std::string> serials{};  ///< VPD and Device Serial Number
  std::string nvme_serial{};
  std::string nvme_nqn{};
  std::string slot{};
  std::string path{};  ///< "pci-0000:01:00.0"
  std::string firmware{};
  std::string netdev{};
  // What a configuration may change.
  vfio::DriverState driver{};
  std::string native_driver{};   ///< who had it before pcivm bound it; empty = not bound by pcivm, or nobody
  bool bound_by_pcivm{};
  vfio::Settings settings{};     ///< reset_method, d3cold_allowed, power/control, as far as it has them
  std::optional<PfState> pf{};
  bool operator==(const FunctionState&) const = default;
};

struct HostState {
  std::vector<FunctionState> functions{};  ///< no VFs, no bridges; sorted by address
  bool operator==(const HostState&) const = default;
};

/// Reads all of it, VF attributes included when `port` is not null. A function that vanishes meanwhile is left out; one
/// that a living VM borrowed (vfio/managed) is told as it will be when that ends. Errc::timeout when the kernel holds a
/// lock that reading needs.
[[nodiscard]] Result<HostState> read_host(const vfio::Host& host, VfPort* port);

/// For keeping the state of a few functions across a crash or a reboot; every field survives but iommu_group.
[[nodiscard]] vfio::Record to_record(const HostState& state);
[[nodiscard]] Result<HostState> state_in(const vfio::Record& record);

/// The configuration that `plan` finds nothing to do for on that host. With `complete` every function is described to
/// the letter, by its address, also those that are as a fresh boot leaves them (for undo and rollback); otherwise only
/// those that are not, by what names them best (for `export`).
[[nodiscard]] HostConfig as_config(const HostState& state, bool complete);

}  // namespace pcivm::sriov
