// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/memlock.hpp"

#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/units.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::uint64_t kSlack = 64 * kMiB;

std::uint64_t of_kernel(rlim_t value) { return value == RLIM_INFINITY ? kNoLimit : std::uint64_t{value}; }

/// The effective capabilities as /proc shows them: "CapEff:\t000001ffffffffff".
Result<std::uint64_t> effective_capabilities(const SysRoot& root, pid_t process) {
  const auto name = process == 0 ? std::string{"self"} : fmt::to_string(process);
  std::istringstream lines{TRY(root.read(fmt::format("/proc/{}/status", name)))};
  for (std::string key, value; lines >> key;) {
    if (key == "CapEff:" && lines >> value) return parse_hex<std::uint64_t>(value);
  }
  return fail(Errc::kernel, fmt::format("/proc/{}/status has no CapEff", name));
}

}  // namespace

std::uint64_t memlock_needed(std::uint64_t guest_ram) {
  return guest_ram > kNoLimit - kSlack ? kNoLimit : guest_ram + kSlack;
}

std::optional<std::uint64_t> limit_to_set(std::uint64_t needed, const MemlockLimits& limits) {
  if (limits.may_exceed || limits.soft >= needed) return std::nullopt;
  return needed;
}

Result<MemlockLimits> memlock_limits(const SysRoot& root, pid_t process) {
  rlimit current{};
  if (::prlimit(process, RLIMIT_MEMLOCK, nullptr, &current) != 0) return fail_errno(errno, "prlimit RLIMIT_MEMLOCK");
  const auto capabilities = TRY(effective_capabilities(root, process));
  return MemlockLimits{.soft = of_kernel(current.rlim_cur),
                       .hard = of_kernel(current.rlim_max),
                       .may_exceed = (capabilities >> CAP_IPC_LOCK & 1U) != 0};
}

Result<void> ensure_memlock(const SysRoot& root, std::uint64_t guest_ram, pid_t process) {
  const auto limits = TRY(memlock_limits(root, process));
  const auto needed = memlock_needed(guest_ram);
  const auto wanted = limit_to_set(needed, limits);
  if (!wanted) return {};
  const rlimit raised{.rlim_cur = *wanted, .rlim_max = std::max<rlim_t>(*wanted, limits.hard)};
  if (::prlimit(process, RLIMIT_MEMLOCK, &raised, nullptr) == 0) return {};
  return fail(Error::from_errno(errno, fmt::format("locked memory is limited to {} KiB, wanted {} KiB",
                                                   limits.hard / kKiB, needed / kKiB))
                  .as(Errc::denied)
                  .advise(fmt::format("in the systemd unit: LimitMEMLOCK={}; in a shell as root: ulimit -l {}", needed,
                                      needed / kKiB)));
}

}  // namespace pcivm::vfio
