// SPDX-License-Identifier: GPL-2.0-or-later
// One VM of a name at a time: /run/pcivm/vm/NAME/lock, held as long as the VM runs and gone with it.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::cli {

/// The flock belongs to the open file: a forked VMM holds it too, so that the name is taken until both have ended.
/// The destructor removes the VM's directory; what a killed supervisor leaves is taken over by the next VM of the name.
class NameLock final {
 public:
  NameLock() = default;
  /// Errc::busy: a VM of that name runs. `name` has been checked.
  [[nodiscard]] static Result<NameLock> take(const SysRoot& root, const std::string& name);
  NameLock(NameLock&& other) noexcept = default;
  NameLock& operator=(NameLock&& other) noexcept;
  NameLock(const NameLock&) = delete;
  NameLock& operator=(const NameLock&) = delete;
  ~NameLock() { release(); }

 private:
  NameLock(Fd file, std::string directory) : file_{std::move(file)}, directory_{std::move(directory)} {}
  void release() noexcept;
  Fd file_;
  std::string directory_;  // as the host sees it
};

}  // namespace pcivm::cli
