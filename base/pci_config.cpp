// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/pci_config.hpp"

#include <linux/pci_regs.h>

#include <algorithm>

namespace pcivm {

namespace {

constexpr std::size_t kHeaderSize = 0x40;
constexpr std::size_t kExtendedStart = 0x100;
constexpr std::size_t kConfigEnd = 0x1000;
// (256 - 64) / 4 and (4096 - 256) / 4: no honest list is longer.
constexpr std::size_t kMostCapabilities = 48;
constexpr std::size_t kMostExtended = 960;

std::uint32_t read_bytes(std::span<const std::byte> image, std::size_t offset, unsigned width) {
  std::uint32_t value = 0;
  for (unsigned index = 0; index < width; ++index) {
    const auto byte = offset + index < image.size() ? std::to_integer<std::uint32_t>(image[offset + index]) : 0xffU;
    value |= byte << (8 * index);
  }
  return value;
}

bool visited(const std::vector<Capability>& seen, std::size_t offset) {
  return std::ranges::any_of(seen, [offset](const Capability& cap) { return cap.offset == offset; });
}

std::uint16_t offset_of(const std::vector<Capability>& list, std::uint16_t id) {
  const auto found = std::ranges::find(list, id, &Capability::id);
  return found == list.end() ? std::uint16_t{0} : found->offset;
}

}  // namespace

std::uint8_t config_u8(std::span<const std::byte> image, std::size_t offset) {
  return static_cast<std::uint8_t>(read_bytes(image, offset, 1));
}
std::uint16_t config_u16(std::span<const std::byte> image, std::size_t offset) {
  return static_cast<std::uint16_t>(read_bytes(image, offset, 2));
}
std::uint32_t config_u32(std::span<const std::byte> image, std::size_t offset) { return read_bytes(image, offset, 4); }

void config_store(std::span<std::byte> image, std::size_t offset, unsigned width, std::uint32_t value) {
  for (unsigned index = 0; index < width && offset + index < image.size(); ++index) {
    image[offset + index] = static_cast<std::byte>(value >> (8 * index) & 0xffU);
  }
}

std::vector<Capability> capabilities(std::span<const std::byte> image) {
  std::vector<Capability> found;
  if ((config_u16(image, PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0) return found;
  std::size_t offset = config_u8(image, PCI_CAPABILITY_LIST) & 0xfcU;
  while (offset >= kHeaderSize && offset + 2 <= image.size() && found.size() < kMostCapabilities &&
         !visited(found, offset)) {
    found.push_back({.id = config_u8(image, offset), .offset = static_cast<std::uint16_t>(offset)});
    offset = config_u8(image, offset + 1) & 0xfcU;
  }
  return found;
}

std::vector<Capability> extended_capabilities(std::span<const std::byte> image) {
  std::vector<Capability> found;
  std::size_t offset = kExtendedStart;
  while (offset >= kExtendedStart && offset + 4 <= std::min(image.size(), kConfigEnd) && found.size() < kMostExtended &&
         !visited(found, offset)) {
    const auto header = config_u32(image, offset);
    // All-zero ends an empty list; all-ones is a device that does not answer.
    if (header == 0 || header == 0xffffffffU) break;
    found.push_back({.id = static_cast<std::uint16_t>(header & 0xffffU), .offset = static_cast<std::uint16_t>(offset)});
    offset = header >> 20U & 0xffcU;
  }
  return found;
}

std::uint16_t find_capability(std::span<const std::byte> image, std::uint8_t id) {
  return offset_of(capabilities(image), id);
}

std::uint16_t find_extended_capability(std::span<const std::byte> image, std::uint16_t id) {
  return offset_of(extended_capabilities(image), id);
}

std::size_t msi_length(std::uint16_t control) {
  const std::size_t address = (control & PCI_MSI_FLAGS_64BIT) != 0 ? 8 : 4;
  const std::size_t masks = (control & PCI_MSI_FLAGS_MASKBIT) != 0 ? 8 : 0;
  return PCI_MSI_ADDRESS_LO + address + 4 + masks;
}

}  // namespace pcivm
