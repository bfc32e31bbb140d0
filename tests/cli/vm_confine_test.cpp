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
#include <functional>

namespace pcivm::cli {
namespace {

bool has_landlock() { return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0; }

/// What `question` says in a confined process.
int confined(const std::function<int()>& question) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(confine_vmm() ? question() : 99);
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

}  // namespace
}  // namespace pcivm::cli
