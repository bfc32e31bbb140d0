// SPDX-License-Identifier: GPL-2.0-or-later
// What the VMM's process may still do once it has all its descriptors: whoever breaks out of the guest finds a process
// that can reach nothing by name.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::cli {

struct Confinement {
  std::optional<std::uint32_t> user{};  ///< and group; none: it stays who it is, which is not root
  bool own_user{};                      ///< who it is already, that is: nobody else is, as if `user` had been given
  vmm::Seccomp seccomp{vmm::Seccomp::kill};
  std::uint64_t ram{};           ///< of the guest
  std::uint64_t pinned{};        ///< what of it may be locked, as often as that may be
  std::uint64_t longest_file{};  ///< of those that it writes to
};

/// Of the calling process and all it makes later; not to be undone. Before it has threads. With `user` it is killed
/// when its parent ends, before and after.
/// - no descriptor, locked memory, task or byte of a file more than a VM of that size needs (RLIMIT_*), no core dump
/// - its own user and group, and no other group
/// - no capability, in no set, and no way to get one (PR_SET_NO_NEW_PRIVS, capabilities(7))
/// - no file by path, no TCP port, and no signal or abstract socket to outside (landlock(7)), as far as the kernel
///   knows of such restrictions; without Landlock what the user may open stays open, which is logged
/// - no system call but those of vmm/thread_filter.hpp
/// Fails as the kernel does; then nothing of it can be relied on.
[[nodiscard]] Result<void> confine_vmm(const Confinement& wanted);

}  // namespace pcivm::cli
