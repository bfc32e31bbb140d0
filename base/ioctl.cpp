// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/ioctl.hpp"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

namespace pcivm {

namespace {

class SystemIoctl final : public IoctlPort {
 public:
  int call(FdRef fd, unsigned long request, void* argument) override {
    const int outcome = ::ioctl(fd.number(), request, argument);
    return outcome < 0 ? -errno : outcome;
  }
};

}  // namespace

IoctlPort& system_ioctl() {
  static SystemIoctl port;
  return port;
}

Result<int> IoctlValue::operator()(IoctlPort& port, FdRef fd, unsigned long value) const {
  // The kernel takes the third word of ioctl(2) as it is; a pointer-sized number passes unchanged.
  const int outcome = port.call(fd, number, reinterpret_cast<void*>(static_cast<std::uintptr_t>(value)));
  if (outcome < 0) return fail_errno(-outcome, std::string{name});
  return outcome;
}

}  // namespace pcivm
