// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/memlock.hpp"

#include <linux/capability.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/parse.hpp"
#include "base/units.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::uint64_t kSlack = 64 * kMiB;

std::uint64_t of_kernel(rlim_t value) { return value == RLIM_INFINITY ? kNoLimit : std::uint64_t{value}; }

/// What follows `key` in the /proc/PID/status of a process: of "Uid:\t0\t0\t0\t0" the first word. Empty when there is
/// none.
std::string status_of(const SysRoot& root, std::string_view process, std::string_view key) {
  std::istringstream lines{root.read(fmt::format("/proc/{}/status", process)).value_or("")};
  for (std::string word, value; lines >> word;) {
    if (word == key && lines >> value) return value;
  }
  return {};
}

/// "CapEff:\t000001ffffffffff"
Result<std::uint64_t> effective_capabilities(const SysRoot& root, pid_t process) {
  const auto name = process == 0 ? std::string{"self"} : fmt::to_string(process);
  const auto value = status_of(root, name, "CapEff:");
  if (value.empty()) return fail(Errc::kernel, fmt::format("/proc/{}/status has no CapEff", name));
  return parse_hex<std::uint64_t>(value);
}

}  // namespace

std::uint64_t memlock_needed(std::uint64_t guest_ram) {
  return guest_ram > kNoLimit - kSlack ? kNoLimit : guest_ram + kSlack;
}

std::uint64_t pinned_by(const SysRoot& root, std::uint32_t user) {
  std::uint64_t total = 0;
  for (const auto& process : root.list("/proc").value_or(std::vector<std::string>{})) {
    if (!parse_decimal<std::uint32_t>(process) || status_of(root, process, "Uid:") != fmt::to_string(user)) continue;
    total += parse_decimal<std::uint64_t>(status_of(root, process, "VmPin:")).value_or(0) * kKiB;
  }
  return total;
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

Result<void> ensure_memlock(const SysRoot& root, std::uint64_t guest_ram, MemlockOf whose, pid_t process) {
  const auto limits = TRY(memlock_limits(root, process));
  const auto held = whose == MemlockOf::user && !limits.may_exceed ? pinned_by(root, ::getuid()) : 0;
  const auto needed = memlock_needed(guest_ram + held);
  const auto wanted = limit_to_set(needed, limits);
  log::debug("locked memory: {} KiB for RAM of the guest and what maps it, {} KiB held already; limit {}",
             memlock_needed(guest_ram) / kKiB, held / kKiB,
             limits.may_exceed         ? "none (CAP_IPC_LOCK)"
             : limits.soft == kNoLimit ? "none"
                                       : fmt::format("{} KiB{}", limits.soft / kKiB, wanted ? ", raised" : ""));
  if (!wanted) return {};
  const rlimit raised{.rlim_cur = *wanted, .rlim_max = std::max<rlim_t>(*wanted, limits.hard)};
  if (::prlimit(process, RLIMIT_MEMLOCK, &raised, nullptr) == 0) return {};
  const auto also =
      whose == MemlockOf::user
          ? fmt::format(" for all processes of user {} together, of which {} KiB are in use", ::getuid(), held / kKiB)
          : "";
  return fail(Error::from_errno(errno, fmt::format("locked memory is limited to {} KiB, wanted {} KiB{}",
                                                   limits.hard / kKiB, needed / kKiB, also))
                  .as(Errc::denied)
                  .advise(fmt::format("in the systemd unit: LimitMEMLOCK={}; in a shell as root: ulimit -l {}", needed,
                                      needed / kKiB)));
}

}  // namespace pcivm::vfio
