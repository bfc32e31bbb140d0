// SPDX-License-Identifier: GPL-2.0-or-later
// The checksum of ACPI tables and SMBIOS entry points.
#pragma once

#include <cstddef>
#include <span>

namespace pcivm::vmm {

/// What makes the sum of all bytes zero, modulo 256, when it replaces a zero among them.
[[nodiscard]] constexpr std::byte checksum(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const auto byte : bytes) sum += std::to_integer<unsigned>(byte);
  return static_cast<std::byte>(0x100U - sum % 0x100U);
}

}  // namespace pcivm::vmm
