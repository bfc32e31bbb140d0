// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/replace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/fd.hpp"

namespace pcivm {

namespace {

constexpr std::string_view kUnfinished = ".new";

Result<void> make_directories(const SysRoot& root, std::string_view path, mode_t mode) {
  for (auto slash = path.find('/', 1); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    const auto directory = path.substr(0, slash);
    if (::mkdir(root.host_path(directory).c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno(errno, fmt::format("make directory '{}'", directory));
    }
  }
  return {};
}

Result<void> sync(FdRef fd, std::string_view path) {
  if (::fsync(fd.number()) != 0) return fail_errno(errno, fmt::format("fsync '{}'", path));
  return {};
}

Result<void> sync_directory_of(const SysRoot& root, std::string_view path) {
  const auto directory = path.substr(0, path.rfind('/'));
  const auto fd = TRY(open_path(root.host_path(directory), O_RDONLY | O_DIRECTORY));
  return sync(fd.ref(), directory);
}

// Never what is there by that name: a crash left it, or it is a link to somewhere else. The directory is nearly always
// there: it is made only when opening fails.
Result<Fd> create(const SysRoot& root, const std::string& path, mode_t mode, mode_t directory_mode) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL;
  auto file = open_path(root.host_path(path), kFlags, mode);
  if (file) return file;
  if (file.error().sys_errno() == EEXIST) {
    TRY(remove_file(root, path));
  } else if (file.error().kind() == Errc::not_found) {
    TRY(make_directories(root, path, directory_mode));
  } else {
    return file;
  }
  return open_path(root.host_path(path), kFlags, mode);
}

}  // namespace

Result<void> replace_file(const SysRoot& root, std::string_view path, std::string_view content, mode_t mode,
                          mode_t directory_mode) {
  const auto slash = path.rfind('/');
  const auto temporary = fmt::format("{}/.{}{}", path.substr(0, slash), path.substr(slash + 1), kUnfinished);
  const auto fd = TRY(create(root, temporary, mode, directory_mode));
  TRY_IN(write_all(fd.ref(), content), fmt::format("write '{}'", temporary));
  TRY(sync(fd.ref(), temporary));
  return rename_file(root, temporary, path);
}

Result<void> remove_unfinished(const SysRoot& root, std::string_view directory) {
  for (const auto& name : root.list(directory).value_or(std::vector<std::string>{})) {
    if (name.starts_with('.') && name.ends_with(kUnfinished)) {
      TRY(remove_file(root, fmt::format("{}/{}", directory, name)));
    }
  }
  return {};
}

Result<void> rename_file(const SysRoot& root, std::string_view from, std::string_view to) {
  if (::rename(root.host_path(from).c_str(), root.host_path(to).c_str()) != 0) {
    return fail_errno(errno, fmt::format("rename '{}' to '{}'", from, to));
  }
  return sync_directory_of(root, to);
}

Result<void> remove_file(const SysRoot& root, std::string_view path) {
  if (::unlink(root.host_path(path).c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, fmt::format("remove '{}'", path));
  }
  return sync_directory_of(root, path);
}

}  // namespace pcivm
