// SPDX-License-Identifier: GPL-2.0-or-later
// One MAC address for each VF of a PF, from one pattern.
#pragma once

#include <string_view>
#include <vector>

#include "base/parse.hpp"
#include "base/result.hpp"

namespace pcivm::sriov {

/// "02:11:22:33:44:%02x" for one VF; without "%02x" the same for all. Fails as macs_of() does.
[[nodiscard]] Result<MacAddress> mac_of(std::string_view pattern, unsigned index);

/// "02:11:22:33:44:%02x": in place of one octet "%02x" for the VF's index. The addresses for indexes 0..count-1.
/// Errc::invalid when an index does not fit into an octet, when two VFs would have the same address, or when one would
/// be a multicast address.
[[nodiscard]] Result<std::vector<MacAddress>> macs_of(std::string_view pattern, unsigned count);

}  // namespace pcivm::sriov
