// SPDX-License-Identifier: GPL-2.0-or-later
// A physical function as its sysfs files show it, and what every change of its VFs starts from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "sriov/vf_port.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::sriov {

struct PhysicalFunction {
  Bdf address;
  std::string driver;    ///< empty = none
  unsigned total_vfs{};  ///< what its driver allows; without a driver what the hardware has
  unsigned num_vfs{};
  bool autoprobe{true};  ///< VFs get their native driver when they appear
};

/// Errc::not_found when absent; Errc::invalid when it is a VF or has no SR-IOV; Errc::timeout when a stuck writer holds
/// its lock.
[[nodiscard]] Result<PhysicalFunction> read_physical(const vfio::Host& host, Bdf address);

/// The VFs in the order of their index, as the virtfn links show them.
[[nodiscard]] std::vector<Bdf> vfs_of(const SysRoot& root, Bdf physical);

[[nodiscard]] std::string numvfs_file(Bdf physical);
[[nodiscard]] std::string autoprobe_file(Bdf physical);

/// Writes in a child with the host's deadline and reads back.
[[nodiscard]] Result<void> set_autoprobe(const vfio::Host& host, Bdf physical, bool on);
/// The same for sriov_numvfs; refusals of the kernel are explained. EAGAIN is tried again up to five times.
[[nodiscard]] Result<void> set_numvfs(const vfio::Host& host, Bdf physical, unsigned count);

/// The PF's network interface, not that of a representor: its name, and its index for netlink. Errc::kernel when it has
/// none in this network namespace.
struct Interface {
  std::string name;
  int index{};
};
[[nodiscard]] Result<Interface> interface_of(const SysRoot& root, Bdf physical);

/// One VF with what is known about it.
struct VirtualFunction {
  Bdf address;
  Bdf physical;
  unsigned index{};
  std::string driver;
  std::string driver_override;
  std::optional<unsigned> iommu_group;
  VfAttributes attributes;  ///< nothing reported when the PF is no network adapter
  std::string missing;      ///< why the network's attributes cannot be read; empty = they are
};
/// `port` may be null: then no attributes are read.
[[nodiscard]] Result<std::vector<VirtualFunction>> list(const vfio::Host& host, Bdf physical, VfPort* port);

/// All functions with SR-IOV, sorted.
[[nodiscard]] Result<std::vector<Bdf>> physical_functions(const SysRoot& root);

}  // namespace pcivm::sriov
