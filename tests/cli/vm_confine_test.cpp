// SPDX-License-Identifier: GPL-2.0-or-later
// In a child, since nothing of it can be undone.
#include "cli/vm_confine.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

namespace pcivm::cli {
namespace {

bool has_landlock() { return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0; }

/// What `question` says in a confined process.
int confined(const std::function<int()>& question, const Confinement& how = {.seccomp = vmm::Seccomp::off}) {
  const pid_t child = ::fork();
  if (child == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(confine_vmm(how) ? question() : 99);
  }
  int status{};
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  return WEXITSTATUS(status);
}

TEST(Confined, HasNoCapabilityAndGetsNone) {
  EXPECT_EQ(confined([] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }), 1);
  EXPECT_EQ(confined([] { return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0); }), 0);
  if (::geteuid() == 0) {
    EXPECT_EQ(confined([] { return ::prctl(PR_CAPBSET_READ, 21, 0, 0, 0); }), 0) << "CAP_SYS_ADMIN";
    EXPECT_EQ(confined([] { return ::setpriority(PRIO_PROCESS, 0, -5) == 0 ? 0 : errno; }), EACCES) << "CAP_SYS_NICE";
  }
}

TEST(Confined, OpensNothingByPathAndKeepsWhatItHas) {
  if (!has_landlock()) GTEST_SKIP() << "the kernel has no Landlock";
  EXPECT_EQ(confined([] { return ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ? 0 : errno; }), EACCES);
  EXPECT_EQ(confined([] { return ::open("/dev/null", O_RDWR | O_CLOEXEC) >= 0 ? 0 : errno; }), EACCES);
  const int before = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  EXPECT_EQ(confined([before] { return static_cast<int>(::write(before, "x", 1)); }), 1);
  ::close(before);
}

TEST(Confined, DumpsNoCore) {
  EXPECT_EQ(confined([] {
              rlimit limit{};
              return ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? 1 : 0;
            }),
            1);
}

TEST(Confined, HasAUserOfItsOwnAndNoGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root runs VMMs as others";
  constexpr std::uint32_t kUser = 2'000'000'007;
  const Confinement how{.user = kUser, .seccomp = vmm::Seccomp::off};
  EXPECT_EQ(confined([] { return ::getuid() == kUser && ::geteuid() == kUser && ::getegid() == kUser ? 1 : 0; }, how),
            1);
  EXPECT_EQ(confined([] { return ::getgroups(0, nullptr); }, how), 0);
  EXPECT_EQ(confined([] { return ::setresuid(0, 0, 0) == 0 ? 0 : errno; }, how), EPERM);
  EXPECT_EQ(confined(
                [] {
                  int signal{};
                  return ::prctl(PR_GET_PDEATHSIG, &signal) == 0 ? signal : 0;
                },
                how),
            SIGKILL)
      << "the kernel forgets it with the user";
}

/// A root of a container may be without CAP_SYS_RESOURCE.
bool may_have(__rlimit_resource_t what, rlim_t most) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit wanted{.rlim_cur = most, .rlim_max = most};
    ::_exit(::setrlimit(what, &wanted) == 0 ? 0 : 1);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

TEST(Confined, HasLimits) {
  const auto most = [](__rlimit_resource_t what) {
    rlimit limit{};
    return ::getrlimit(what, &limit) == 0 && limit.rlim_cur == limit.rlim_max ? limit.rlim_max : 0;
  };
  const Confinement how{.seccomp = vmm::Seccomp::off, .ram = 1U << 20U, .longest_file = 1U << 30U};
  EXPECT_EQ(confined([&] { return most(RLIMIT_FSIZE) == 1U << 30U ? 1 : 0; }, how), 1);
  EXPECT_EQ(confined([&] { return most(RLIMIT_NOFILE) > 0 ? 1 : 0; }, how), 1);
  if (::geteuid() != 0) GTEST_SKIP() << "the rest is a user's of its own";
  const Confinement own{.user = 2'000'000'007, .seccomp = vmm::Seccomp::off, .pinned = 1U << 20U};
  constexpr rlim_t kMemlock = 65U << 20U;
  if (may_have(RLIMIT_MEMLOCK, kMemlock)) {
    EXPECT_EQ(confined([&] { return most(RLIMIT_MEMLOCK) == kMemlock ? 1 : 0; }, own), 1);
  }
  EXPECT_EQ(confined([&] { return most(RLIMIT_NPROC) == 4096 ? 1 : 0; }, own), 1);
  const Confinement already{.own_user = true, .seccomp = vmm::Seccomp::off};
  EXPECT_EQ(confined([&] { return most(RLIMIT_NPROC) == 4096 && ::getuid() == 0 ? 1 : 0; }, already), 1);
}

TEST(Confined, MakesNoOtherSystemCalls) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!confine_vmm({})) ::_exit(99);
    (void)::syscall(SYS_socket, 1, 1, 0);
    ::_exit(0);
  }
  int status{};
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
}

}  // namespace
}  // namespace pcivm::cli
