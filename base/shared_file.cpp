// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/shared_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include <fmt/format.h>

namespace pcivm {

Result<Fd> open_regular(const std::string& path, int flags) {
  auto file = open_path(path, flags | O_NONBLOCK | O_NOCTTY);
  struct stat facts{};
  if (file && ::fstat(file->ref().number(), &facts) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  const bool folder = !file && file.error().sys_errno() == EISDIR;
  if (folder || (file && !S_ISREG(facts.st_mode))) {
    return fail(Errc::invalid, fmt::format("'{}' is not a regular file", path));
  }
  return file;
}

Result<void> lock_open_file(FdRef file, bool exclusive) {
  struct flock request{};
  request.l_type = static_cast<short>(exclusive ? F_WRLCK : F_RDLCK);
  request.l_whence = SEEK_SET;
  if (::fcntl(file.number(), F_OFD_SETLK, &request) == 0 || (errno != EAGAIN && errno != EACCES)) return {};
  return fail_errno(errno, "lock");
}

}  // namespace pcivm
