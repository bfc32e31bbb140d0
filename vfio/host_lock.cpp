// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/host_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "iommu/process_use.hpp"

namespace pcivm::vfio {

namespace {

constexpr auto kLockPath{"/run/pcivm/lock"};

Result<void> make_directory(const SysRoot& root, std::string_view path, mode_t mode) {
  if (::mkdir(root.host_path(path).c_str(), mode) != 0 && errno != EEXIST) {
    return fail_errno(errno, fmt::format("make directory '{}'", path));
  }
  return {};
}

Result<bool> try_lock(FdRef fd) {
  while (::flock(fd.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) return fail_errno(errno, fmt::format("lock '{}'", kLockPath));
  }
  return true;
}

// The holder writes the file when it gets the lock, so its time of change is since when.
std::string since(FdRef fd) {
  struct stat found{};
  if (::fstat(fd.number(), &found) != 0) return {};
  const auto seconds = std::max<std::time_t>(0, std::time(nullptr) - found.st_mtim.tv_sec);
  return fmt::format(" for {} s", seconds);
}

std::string holder(const SysRoot& root, FdRef fd) {
  const auto pid = root.read(kLockPath);
  if (!pid || pid->empty()) return "another pcivm process" + since(fd);
  if (root.exists(fmt::format("/proc/{}/comm", *pid))) return iommu::process_name(root, *pid) + since(fd);
  return fmt::format("a kernel call that process {} started and did not survive{}", *pid, since(fd));
}

void sign(FdRef fd) {
  const auto pid = fmt::format("{}\n", ::getpid());
  // The name is for messages only: not being able to write it must not stop the command.
  if (::ftruncate(fd.number(), 0) == 0) (void)pwrite_exact(fd, 0, std::as_bytes(std::span{pid}));
}

}  // namespace

Result<HostLock> HostLock::take(const SysRoot& root, std::chrono::milliseconds wait,
                                const std::function<void(std::string_view)>& on_wait) {
  using std::chrono::steady_clock;
  TRY(make_directory(root, "/run", 0755));
  TRY(make_directory(root, "/run/pcivm", 0755));
  auto fd = TRY(open_path(root.host_path(kLockPath), O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
  const auto end = steady_clock::now() + wait;
  bool told{};
  // flock(2) has no timeout, and a signal-driven one would be a process-wide side effect, hence the short naps.
  for (;;) {
    const bool locked = TRY(try_lock(fd.ref()));
    if (locked) break;
    if (steady_clock::now() >= end) {
      return fail(
          Error::make(Errc::busy, fmt::format("the host lock '{}' is held by {}", kLockPath, holder(root, fd.ref())))
              .coded("host.locked")
              .advise("wait for it, or raise --timeout"));
    }
    if (on_wait && !told) on_wait(fmt::format("waiting for the host lock, held by {}", holder(root, fd.ref())));
    told = true;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - steady_clock::now());
    std::this_thread::sleep_for(std::clamp(left, std::chrono::milliseconds{1}, std::chrono::milliseconds{20}));
  }
  sign(fd.ref());
  return HostLock{std::move(fd)};
}

HostLock::~HostLock() {
  if (fd_) ::flock(fd_.ref().number(), LOCK_UN);
}

}  // namespace pcivm::vfio
