// SPDX-License-Identifier: GPL-2.0-or-later
// The user that a VMM's process runs as: one that no other VM and no account has.
#pragma once

#include <cstdint>
#include <utility>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::cli {

/// A number for user and group, from a range that systemd leaves unused (its UIDS-GIDS.md) and that needs no entry in
/// /etc/passwd. The kernel counts locked memory and processes by user, and lets users signal and trace their own.
class VmUser final {
 public:
  static constexpr std::uint32_t kFirst{2'000'000'000};
  static constexpr std::uint32_t kCount{65'536};

  /// One that is free, until this is gone: an entry of /run/pcivm/users is locked. Errc::busy: all are taken.
  [[nodiscard]] static Result<VmUser> take(const SysRoot& root);

  [[nodiscard]] std::uint32_t number() const { return number_; }

 private:
  VmUser(std::uint32_t number, Fd file) : number_{number}, file_{std::move(file)} {}
  std::uint32_t number_;
  Fd file_;  // of the supervisor alone: whoever has it can give the lock up
};

/// True when this process can and must run its VMM as a user of its own: it is root. Others run it as themselves.
[[nodiscard]] bool vms_have_own_users();

}  // namespace pcivm::cli
