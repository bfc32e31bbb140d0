// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_user.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace pcivm::cli {

Result<VmUser> VmUser::take(const SysRoot& root) {
  const auto path = root.host_path("/run/pcivm/users");
  auto file = TRY(open_path(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  // In turn, so that the user of a VM that was killed a moment ago is not the next one's while its memory is unlocked.
  const auto first = static_cast<std::uint32_t>(::getpid()) % kCount;
  for (std::uint32_t step = 0; step < kCount; ++step) {
    const auto index = (first + step) % kCount;
    struct flock request{};
    request.l_type = F_WRLCK;
    request.l_whence = SEEK_SET;
    request.l_start = index;
    request.l_len = 1;
    if (::fcntl(file.ref().number(), F_OFD_SETLK, &request) == 0) return VmUser{kFirst + index, std::move(file)};
    if (errno != EAGAIN && errno != EACCES) return fail_errno(errno, fmt::format("lock '{}'", path));
  }
  return fail(Errc::busy, fmt::format("all {} users for VMs are taken, from {} on", kCount, kFirst));
}

bool vms_have_own_users() { return ::geteuid() == 0; }

}  // namespace pcivm::cli
