// SPDX-License-Identifier: GPL-2.0-or-later
// Files that a virtual machine is given by the operator, and that others may be given too.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// open(2) with `flags`, never waiting. Errc::invalid: no regular file.
[[nodiscard]] Result<Fd> open_regular(const std::string& path, int flags);

/// A lock of the open file, which goes with the last descriptor of it: whoever inherits one keeps it. Fails with the
/// errno when somebody has it in a way that excludes this; a file system without locks is no failure.
[[nodiscard]] Result<void> lock_open_file(FdRef file, bool exclusive);

}  // namespace pcivm
