// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_confine.hpp"

#include <cap-ng.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/log.hpp"

namespace pcivm::cli {

namespace {

// <linux/landlock.h> of Debian 12 ends with version 2 of the interface.
struct LandlockRules {
  std::uint64_t files{};
  std::uint64_t network{};  // since version 4
  std::uint64_t scopes{};   // since version 6
};
constexpr unsigned kAskVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr int kWithNetwork = 4;
constexpr int kWithScopes = 6;

/// All rights to files that a version knows of: the first 13, then REFER, TRUNCATE and, since version 5, IOCTL_DEV.
std::uint64_t file_rights(long version) {
  const unsigned count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  return (std::uint64_t{1} << count) - 1;
}

std::size_t size_of_rules(long version) {
  if (version >= kWithScopes) return sizeof(LandlockRules);
  return version >= kWithNetwork ? offsetof(LandlockRules, scopes) : offsetof(LandlockRules, network);
}

Result<void> drop_capabilities() {
  if (capng_get_caps_process() != 0) return fail(Errc::kernel, "the kernel does not tell capabilities");
  // The bounding set is for whoever has CAP_SETPCAP to change. For others it gives nothing any more.
  const bool all = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  capng_clear(CAPNG_SELECT_ALL);
  const int outcome = capng_apply(all ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
  if (outcome == 0) return {};
  return fail(Errc::kernel, fmt::format("capabilities cannot be given up (capng_apply: {})", outcome));
}

Result<void> close_all_paths() {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskVersion);
  if (version < 1) {
    log::debug("the VMM may open what its user may: the kernel has no Landlock ({})", errno_name(errno));
    return {};
  }
  LandlockRules rules{.files = file_rights(version)};
  if (version >= kWithNetwork) rules.network = 3;  // BIND_TCP, CONNECT_TCP
  if (version >= kWithScopes) rules.scopes = 3;    // ABSTRACT_UNIX_SOCKET, SIGNAL
  const auto made = ::syscall(SYS_landlock_create_ruleset, &rules, size_of_rules(version), 0);
  if (made < 0) return fail_errno(errno, "landlock_create_ruleset");
  const auto ruleset = Fd::adopt(static_cast<int>(made));
  if (::syscall(SYS_landlock_restrict_self, ruleset.ref().number(), 0) != 0) {
    return fail_errno(errno, "landlock_restrict_self");
  }
  return {};
}

}  // namespace

Result<void> confine_vmm() {
  const rlimit endless{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  (void)::setrlimit(RLIMIT_MEMLOCK, &endless);  // refused: then what there is was found to suffice (vfio/memlock)
  const rlimit none{};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno(errno, "setrlimit RLIMIT_CORE");
  TRY(drop_capabilities());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "prctl PR_SET_NO_NEW_PRIVS");
  return close_all_paths();
}

}  // namespace pcivm::cli
