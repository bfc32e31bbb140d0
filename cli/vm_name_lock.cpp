// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_name_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace pcivm::cli {

namespace {

Result<void> make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("make directory '{}'", path));
}

// Locked is not enough: whoever had the lock may have removed the file after we opened it.
bool still_named(FdRef file, const std::string& path) {
  struct stat ours{};
  struct stat named{};
  return ::fstat(file.number(), &ours) == 0 && ::lstat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

// Sockets of the VM, also of one that was killed.
void remove_sockets(const std::string& directory) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator{directory, ignored}) {
    if (entry.is_socket(ignored)) (void)::unlink(entry.path().c_str());
  }
}

}  // namespace

Result<NameLock> NameLock::take(const SysRoot& root, const std::string& name) {
  for (const auto* path : {"/run", "/run/pcivm", "/run/pcivm/vm"}) TRY(make_directory(root.host_path(path), 0755));
  const auto directory = root.host_path("/run/pcivm/vm/" + name);
  const auto path = directory + "/lock";
  for (;;) {
    TRY(make_directory(directory, 0700));
    auto file = open_path(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (!file && file.error().sys_errno() == ENOENT) continue;  // its last VM removes the directory just now
    if (!file) return fail(std::move(file).error());
    if (::flock(file->ref().number(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return fail_errno(errno, fmt::format("lock VM '{}'", name));
      return fail(Error::make(Errc::busy, fmt::format("a VM named '{}' is running", name))
                      .coded("vm.running")
                      .advise("end it, or choose another name"));
    }
    if (!still_named(file->ref(), path)) continue;
    remove_sockets(directory);
    return NameLock{std::move(*file), directory};
  }
}

NameLock& NameLock::operator=(NameLock&& other) noexcept {
  if (this != &other) {
    release();
    file_ = std::move(other.file_);
    directory_ = std::move(other.directory_);
  }
  return *this;
}

// While the lock is held, so that nobody can have taken the name in between.
void NameLock::release() noexcept {
  if (!file_) return;
  remove_sockets(directory_);
  (void)::unlink((directory_ + "/lock").c_str());
  (void)::rmdir(directory_.c_str());
  file_.close();
}

}  // namespace pcivm::cli
