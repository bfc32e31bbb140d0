// SPDX-License-Identifier: GPL-2.0-or-later
// What an NVMe controller answers when it refuses (NVM Express Base Specification 2.0, figures 94 to 97).
#pragma once

#include <string>

#include "base/result.hpp"

namespace pcivm::sriov {

/// "invalid secondary controller state (NVMe status 0x4120)". `status` is what the passthrough ioctl returns: code and
/// type in the low 11 bits, "do not retry" in bit 14.
[[nodiscard]] std::string nvme_status_text(unsigned status);

/// The failure of an admin command, with the next step where the specification implies one.
[[nodiscard]] Error nvme_error(unsigned status, std::string what);

}  // namespace pcivm::sriov
