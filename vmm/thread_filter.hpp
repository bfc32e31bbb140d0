// SPDX-License-Identifier: GPL-2.0-or-later
// The system calls that the VMM may make (seccomp(2)): what any of its threads may need is allowed for the process
// before it has threads, and each thread then keeps what its kind needs. Ways to get at something new (sockets, paths,
// programs, executable memory, other processes, unrestricted rings of io_uring) are none of it. The rules are in
// thread_filter_rules.cpp.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"

namespace pcivm::vmm {

enum class ThreadKind : std::uint8_t {
  loop,    ///< the event loop, which makes the threads of devices and CPUs
  vcpu,    ///< one a virtual CPU
  io,      ///< requests of disks, networks and files in memory
  iommu,   ///< the guest's own IOMMU: moves devices between address spaces, maps and unmaps
  memory,  ///< RAM that comes and goes
  start,   ///< loads, opens, resets, closes, fills and maps beside the others
  hotplug  ///< a device that comes or goes
};

/// What becomes of a call that is not allowed.
enum class Seccomp : std::uint8_t {
  kill,  ///< it ends the process by SIGSYS
  log,   ///< it is made, and told to the kernel's log: for diagnosis
  fail,  ///< it fails with EPERM, and nobody is told: for diagnosis
  off    ///< there is no filter
};
/// "kill", "log", "errno", "off"
[[nodiscard]] std::string_view to_string(Seccomp how);
[[nodiscard]] std::optional<Seccomp> seccomp_named(std::string_view name);

/// Of this process and all of its threads, for good. Once, before there are threads, with PR_SET_NO_NEW_PRIVS. Fails as
/// the kernel does; it has refused nothing then.
[[nodiscard]] Result<void> filter_process(Seccomp how);

/// The calling thread gets its kind's name (but for the loop, whose name is the process's), and its kind's filter when
/// filter_process() set one. A kernel that refuses that ends the process: it must not go on with more than it is to
/// have.
void become(ThreadKind kind);

/// The filters themselves, for Seccomp::kill.
[[nodiscard]] std::span<const sock_filter> program_of_process();
[[nodiscard]] std::span<const sock_filter> program_of(ThreadKind kind);
/// "socket"; empty when the build knows no call of that number. x86-64.
[[nodiscard]] std::string_view system_call_name(unsigned number);

}  // namespace pcivm::vmm
