// SPDX-License-Identifier: GPL-2.0-or-later
// What a VMM that its filter of system calls ended was about to do.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace pcivm::cli {

struct Violation {
  std::string call{};    ///< "socket", or a number that this build has no name for
  std::string thread{};  ///< "vcpu"
};

/// Of a record of the kernel's log (kernel/auditsc.c, audit_seccomp), when it is of that process.
[[nodiscard]] std::optional<Violation> violation_in(std::string_view record, pid_t process);

/// The latest in the kernel's log, which tells when nobody audits (auditd takes such records) and audit is not off
/// (audit=0). Waits a moment for it.
[[nodiscard]] std::optional<Violation> logged_violation(pid_t process);

}  // namespace pcivm::cli
