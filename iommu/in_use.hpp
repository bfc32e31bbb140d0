// SPDX-License-Identifier: GPL-2.0-or-later
// Who uses a PCI function: what must be asked before it is taken from its driver. Reads only; no lock is held, so the
// answer may be old by the time it is acted upon.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

/// Kinds of use. The names are stable: --force takes them.
struct UseKind {
  std::string_view name;
  std::string_view about;
};
inline constexpr UseKind kUseKinds[] = {
    {"vfio", "a process holds its VFIO group or device"},
    {"mount", "a mounted file system is on it"},  // through partitions, dm, md and loop devices, as all of disks
    {"swap", "swap space is on it"},
    {"boot", "/, /usr, /boot or the EFI system partition is on it, though not mounted now"},  // by /etc/fstab
    {"hibernate", "the host would resume from it"},
    {"kdump", "a dump of the host's kernel would go to it"},
    {"holder", "a volume or array is on it"},  // dm, md or bcache, though nothing of that is mounted
    {"open", "a process holds its disk, NVMe controller, sound or serial node open"},
    {"rdma", "a process holds its RDMA node open"},
    {"claimed", "the kernel holds its disk"},  // and nothing here says for what (ZFS, another namespace)
    {"route", "a default route goes through it"},  // also over a bridge, bond or VLAN
    {"ssh", "the SSH session that runs this command goes through it"},
    {"address", "its interface is up with an address"},  // IPv6 link-local ones do not count
    {"bridge", "its interface is a port of a bridge or bond"},
    {"upper", "its interface carries a VLAN, macvlan or the like"},
    {"netns", "its interface is in another network namespace"},
    {"boot-vga", "the firmware's console is on it"},
    {"console", "terminals, kernel messages or the firmware's framebuffer are on it"},
    {"drm", "a process holds its graphics node open"},
    {"driverctl", "driverctl is configured to set its driver"},
    {"libvirt", "a running libvirt domain has it"},
    {"vf", "one of its virtual functions is in use"},
};

/// One user.
struct InUse {
  std::string kind{};    ///< of kUseKinds
  std::string detail{};  ///< names the holder and the way to it: "/ -> dm-0 -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0"
  bool operator==(const InUse&) const = default;
};

/// All users of one function; empty = free. Errc::not_found for an absent function. Without CAP_SYS_PTRACE the
/// descriptors of other users' processes cannot be seen.
[[nodiscard]] Result<std::vector<InUse>> users_of(const SysRoot& root, Bdf address);

/// The same for many functions, in the order of `functions`, reading the host once. A PF is used by those of its VFs
/// that are among them.
[[nodiscard]] Result<std::vector<std::vector<InUse>>> users_of_all(const SysRoot& root,
                                                                   const std::vector<Function>& functions);

/// "vfio: pid 812 (qemu-system-x86), mount: / -> nvme0n1 -> 0000:03:00.0"
[[nodiscard]] std::string to_string(const std::vector<InUse>& users);

}  // namespace pcivm::iommu
