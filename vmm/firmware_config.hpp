// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware of a VM, as the privileged side prepared it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

struct FirmwareConfig {
  Fd image;      ///< a regular file; read once
  Fd variables;  ///< open for writing, lies below the image; none: the firmware keeps nothing
  Fd log;        ///< gets what the firmware says on its debug port; none: it stays silent
};

/// Errc::invalid: not whole pages, or more than fits below 4 GiB. `what` names the file.
[[nodiscard]] Result<void> check_firmware_size(std::string_view what, std::uint64_t image, std::uint64_t variables);

}  // namespace pcivm::vmm
