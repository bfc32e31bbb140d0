// SPDX-License-Identifier: GPL-2.0-or-later
// The DEVICE argument: an address, or a description that must match exactly one function.
#pragma once

#include <string_view>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::cli {

/// For help texts.
inline constexpr auto* kDeviceHelp = "address, interface, PF/vfN, mac=, serial= or id=VENDOR:DEVICE";

/// Reads "0000:3b:00.1", "3b:00.1", "eth2", "eth2/vf3", "0000:01:00.0/vf3", "mac=02:11:22:33:44:55", "serial=S4EV..."
/// (of an NVMe controller), "id=8086:10ca". The function exists. Errc::invalid: malformed, or several match (they are
/// listed); Errc::not_found: none does.
[[nodiscard]] Result<Bdf> select_function(const SysRoot& root, std::string_view text);

}  // namespace pcivm::cli
