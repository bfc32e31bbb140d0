// SPDX-License-Identifier: GPL-2.0-or-later
// The serial numbers of a card: by them it is known again in another slot or after another card took its address.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/vpd.hpp"

namespace pcivm::iommu {

/// Of the Device Serial Number capability (PCIe Base 6.0, 7.9.3) in an image of configuration space; nothing when it
/// is absent, blank, or beyond what this user may read (64 bytes without CAP_SYS_ADMIN).
[[nodiscard]] std::optional<std::uint64_t> device_serial_number(std::span<const std::byte> config);

/// "a0-36-9f-ff-ff-3c-2d-10", most significant byte first.
[[nodiscard]] std::string serial_text(std::uint64_t number);

/// Configuration space as far as this user may read it: 64, 256 or 4096 bytes. Empty for an absent function.
[[nodiscard]] std::vector<std::byte> read_config(const SysRoot& root, Bdf address);

/// All that the function calls its serial number: of its VPD, then of its capability. Waits for VPD at most for
/// `deadline`, and does without it then.
[[nodiscard]] std::vector<std::string> serials_of(const SysRoot& root, Bdf address, VpdReader& reader,
                                                  std::chrono::milliseconds deadline);

}  // namespace pcivm::iommu
