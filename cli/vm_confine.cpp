// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_confine.hpp"

#include <cap-ng.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/systemd.hpp"
#include "base/units.hpp"
#include "vfio/memlock.hpp"

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

constexpr std::uint64_t kLeastFile = 64 * kMiB;  // variables and log of a firmware, messages
constexpr rlim_t kMostTasks = 4096;              // CPUs, queues, those that fill memory, io_uring's and vhost's

/// All rights to files that a version knows of: the first 13, then REFER, TRUNCATE and, since version 5, IOCTL_DEV.
std::uint64_t file_rights(long version) {
  const unsigned count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  return (std::uint64_t{1} << count) - 1;
}

std::size_t size_of_rules(long version) {
  if (version >= kWithScopes) return sizeof(LandlockRules);
  return version >= kWithNetwork ? offsetof(LandlockRules, scopes) : offsetof(LandlockRules, network);
}

// The bounding set is for whoever has CAP_SETPCAP to change. For others it gives nothing any more.
Result<void> drop_capabilities(capng_select_t which) {
  constexpr int kNoSetpcap = -4;
  capng_clear(which);
  const int outcome = capng_apply(which);
  if (outcome == 0 || (which == CAPNG_SELECT_BOUNDS && outcome == kNoSetpcap)) return {};
  return fail(Errc::kernel, fmt::format("capabilities cannot be given up (capng_apply: {})", outcome));
}

Result<void> limit(__rlimit_resource_t what, std::uint64_t most, std::string_view name) {
  const rlimit wanted{.rlim_cur = most, .rlim_max = most};
  if (::setrlimit(what, &wanted) != 0) return fail_errno(errno, fmt::format("setrlimit {} to {}", name, most));
  return {};
}

// SIGXFSZ is ignored (vm_supervisor.cpp): a write beyond the limit is an error like others.
Result<void> set_limits(const Confinement& wanted) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return fail_errno(errno, "getrlimit RLIMIT_NOFILE");
  TRY(limit(RLIMIT_NOFILE, files.rlim_cur, "RLIMIT_NOFILE"));
  TRY(limit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  rlimit size{};
  if (::getrlimit(RLIMIT_FSIZE, &size) != 0) return fail_errno(errno, "getrlimit RLIMIT_FSIZE");
  const auto longest = std::max({wanted.longest_file, wanted.ram, kLeastFile});
  TRY(limit(RLIMIT_FSIZE, std::min<rlim_t>(longest, size.rlim_max), "RLIMIT_FSIZE"));
  // What follows is counted by user: with others it is theirs too.
  if (!wanted.user && !wanted.own_user) return {};
  TRY(limit(RLIMIT_NPROC, kMostTasks, "RLIMIT_NPROC"));
  // Refused: then what there is was found to suffice (vfio/memlock).
  (void)limit(RLIMIT_MEMLOCK, vfio::memlock_needed(wanted.pinned), "RLIMIT_MEMLOCK");
  return {};
}

// The kernel forgets with the user who wants to be told of the parent's end (kernel/cred.c, commit_creds).
Result<void> change_user(std::uint32_t user) {
  const auto parent = ::getppid();
  const auto refused = [user](std::string_view call) {
    return fail(Error::from_errno(errno, fmt::format("{} {}", call, user))
                    .advise("the VMM of root runs as a user of its own: CAP_SETUID and CAP_SETGID are wanted, and that "
                            "number in the user name space"));
  };
  if (::setgroups(0, nullptr) != 0) return refused("setgroups for user");
  if (::setresgid(user, user, user) != 0) return refused("setresgid");
  if (::setresuid(user, user, user) != 0) return refused("setresuid");
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno(errno, "prctl PR_SET_PDEATHSIG");
  if (::getppid() != parent) return fail(Errc::internal, "the supervisor is gone");
  return {};
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

Result<void> confine_vmm(const Confinement& wanted) {
  (void)systemd::stderr_is_journal();  // the socket for messages is made now
  TRY(set_limits(wanted));
  TRY(drop_capabilities(CAPNG_SELECT_BOUNDS));
  if (wanted.user) TRY(change_user(*wanted.user));
  TRY(drop_capabilities(CAPNG_SELECT_CAPS));
  TRY(drop_capabilities(CAPNG_SELECT_AMBIENT));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "prctl PR_SET_NO_NEW_PRIVS");
  TRY(close_all_paths());
  return vmm::filter_process(wanted.seccomp);
}

}  // namespace pcivm::cli
