// SPDX-License-Identifier: GPL-2.0-or-later
// Locked memory: type1 charges every pinned page of guest RAM to this process (mm->locked_vm) and stops at
// RLIMIT_MEMLOCK. Checked before the guest starts, so that DMA mapping cannot fail for it afterwards.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

inline constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

struct MemlockLimits {
  std::uint64_t soft{};
  std::uint64_t hard{};
  bool may_exceed{false};  ///< CAP_IPC_LOCK: the kernel does not look at the limit
};

/// What the kernel holds against the limit: what this process has pinned (container), or what all processes of its user
/// have (iommufd; drivers/iommu/iommufd/pages.c, incr_user_locked_vm).
enum class MemlockOf : std::uint8_t { process, user };

/// Bytes that the processes of `user` have pinned now (VmPin), as far as they can be seen.
[[nodiscard]] std::uint64_t pinned_by(const SysRoot& root, std::uint32_t user);

/// What pinning `guest_ram` needs: the RAM and room for what else this process locks.
[[nodiscard]] std::uint64_t memlock_needed(std::uint64_t guest_ram);

/// The soft limit to set, or nothing when the limits suffice. Pure. A value above `hard` needs CAP_SYS_RESOURCE.
[[nodiscard]] std::optional<std::uint64_t> limit_to_set(std::uint64_t needed, const MemlockLimits& limits);

/// Of `process` (0 = this one): prlimit(2) and CapEff of /proc/PID/status.
[[nodiscard]] Result<MemlockLimits> memlock_limits(const SysRoot& root, pid_t process = 0);

/// Raises the limit when it is too low and that is permitted. Errc::denied with the number and the line for the unit.
[[nodiscard]] Result<void> ensure_memlock(const SysRoot& root, std::uint64_t guest_ram, MemlockOf whose,
                                          pid_t process = 0);

}  // namespace pcivm::vfio
