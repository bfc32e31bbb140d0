// SPDX-License-Identifier: GPL-2.0-or-later
// Reading a PCI configuration space image: little-endian fields and bounded capability walks. Register names come from
// <linux/pci_regs.h>. A device may present anything here, so nothing is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pcivm {

/// Little-endian fields of an image; bytes beyond its end read as all-ones, as a missing register does.
[[nodiscard]] std::uint8_t config_u8(std::span<const std::byte> image, std::size_t offset);
[[nodiscard]] std::uint16_t config_u16(std::span<const std::byte> image, std::size_t offset);
[[nodiscard]] std::uint32_t config_u32(std::span<const std::byte> image, std::size_t offset);
/// Stores the low `width` bytes of `value`; bytes beyond the end are dropped.
void config_store(std::span<std::byte> image, std::size_t offset, unsigned width, std::uint32_t value);

/// One capability: its ID and where it starts.
struct Capability {
  std::uint16_t id{};
  std::uint16_t offset{};
  bool operator==(const Capability&) const = default;
};

/// Walks the list of PCI 3.0 section 6.7: starts at 0x34 if the status bit says so, masks the two reserved pointer
/// bits, stops at a pointer below 0x40, at a revisited offset and after 48 entries.
[[nodiscard]] std::vector<Capability> capabilities(std::span<const std::byte> image);

/// Walks the extended list (PCIe Base 6.0, 7.6.3) from 0x100 in the same bounded way; empty for an image of 256 bytes.
[[nodiscard]] std::vector<Capability> extended_capabilities(std::span<const std::byte> image);

/// Offset of the first capability `id`, 0 when absent.
[[nodiscard]] std::uint16_t find_capability(std::span<const std::byte> image, std::uint8_t id);
[[nodiscard]] std::uint16_t find_extended_capability(std::span<const std::byte> image, std::uint16_t id);

/// How many bytes an MSI capability with this Message Control takes, in whole dwords (PCIe Base 6.0, 7.7.1).
[[nodiscard]] std::size_t msi_length(std::uint16_t control);

}  // namespace pcivm
