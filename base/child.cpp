// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/child.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/fd.hpp"

namespace pcivm {

namespace {

constexpr std::chrono::milliseconds kTick{100};

// Of the one ChildWaitObserver; empty without one.
std::function<void()>& observer() {
  static std::function<void()> tick;
  return tick;
}

}  // namespace

Result<bool> readable_within(FdRef fd, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    if (observer()) observer()();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const auto slice = observer() ? std::min(left, kTick) : left;
    pollfd entry{.fd = fd.number(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(slice.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0 && slice == left) return false;
    if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll on a child process");
  }
}

Result<int> run_child(const std::function<int()>& work, std::chrono::milliseconds deadline) {
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) ::_exit(std::clamp(work(), 0, 255));

  const auto pidfd = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return fail_errno(errno, "pidfd_open");
  const bool ended = TRY(readable_within(pidfd.ref(), deadline));
  if (!ended) {
    ::kill(pid, SIGKILL);
    return fail(Errc::timeout,
                fmt::format("still blocked in the kernel after {} ms (child process {})", deadline.count(), pid));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno(errno, "waitpid");
  }
  if (!WIFEXITED(status)) return fail(Errc::internal, fmt::format("child process died by signal {}", WTERMSIG(status)));
  return WEXITSTATUS(status);
}

ChildWaitObserver::ChildWaitObserver(std::function<void()> tick) { observer() = std::move(tick); }
ChildWaitObserver::~ChildWaitObserver() { observer() = nullptr; }

}  // namespace pcivm
