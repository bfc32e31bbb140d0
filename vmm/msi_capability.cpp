// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/msi_capability.hpp"

#include <linux/pci_regs.h>

#include "base/pci_config.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kSmallConfig = 256;

}  // namespace

std::uint16_t MsiCapability::find(const vfio::Device& device) {
  const auto capability = find_capability(device.config(), PCI_CAP_ID_MSI);
  const bool possible = capability + kMostBytes <= kSmallConfig && device.irq(vfio::Irq::msi).count != 0;
  return possible ? capability : std::uint16_t{0};
}

MsiCapability::MsiCapability(const vfio::Device& device, std::uint16_t capability, InterruptRoutes& routes,
                             const MsiVectors::Report& report)
    : capability_{capability},
      wide_{(config_u16(device.config(), capability + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_64BIT) != 0},
      maskable_{(config_u16(device.config(), capability + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_MASKBIT) != 0},
      vectors_{device, vfio::Irq::msi, 1, routes, report} {
  reset();
}

std::uint8_t MsiCapability::length() const {
  return static_cast<std::uint8_t>(maskable_ ? mask_offset() + 8 : data_offset() + 4);
}

bool MsiCapability::covers(std::uint16_t offset) const {
  return offset >= capability_ + PCI_MSI_FLAGS && offset < capability_ + length();
}

std::byte MsiCapability::read(std::uint16_t offset) {
  const auto at = static_cast<std::size_t>(offset - capability_);
  if (maskable_ && at == mask_offset() + 4U) return vectors_.pending(0) ? std::byte{1} : std::byte{0};
  return bytes_.at(at);
}

// One vector: neither of the two vector counts can be changed.
std::byte MsiCapability::writable(std::size_t at) const {
  if (at == PCI_MSI_FLAGS) return std::byte{PCI_MSI_FLAGS_ENABLE};
  if (at == PCI_MSI_ADDRESS_LO) return std::byte{0xfc};
  if (at > PCI_MSI_ADDRESS_LO && at < data_offset() + 2U) return std::byte{0xff};
  if (maskable_ && at == mask_offset()) return std::byte{1};
  return std::byte{0};
}

MsiVectors::Wanted MsiCapability::wanted() const {
  if (maskable_ && (bytes_[mask_offset()] & std::byte{1}) != std::byte{0}) return std::nullopt;
  const std::uint64_t high = wide_ ? config_u32(bytes_, PCI_MSI_ADDRESS_HI) : 0;
  const MsiMessage message{.address = config_u32(bytes_, PCI_MSI_ADDRESS_LO) | high << 32U,
                           .data = config_u16(bytes_, data_offset())};
  return deliverable(message) ? MsiVectors::Wanted{message} : std::nullopt;
}

void MsiCapability::write(std::uint16_t offset, std::span<const std::byte> data) {
  for (std::size_t index = 0; index < data.size(); ++index) {
    const auto target = static_cast<std::uint16_t>(offset + index);
    if (!covers(target)) continue;
    auto& byte = bytes_.at(static_cast<std::size_t>(target - capability_));
    const auto mask = writable(static_cast<std::size_t>(target - capability_));
    byte = (byte & ~mask) | (data[index] & mask);
  }
  if ((bytes_[PCI_MSI_FLAGS] & std::byte{PCI_MSI_FLAGS_ENABLE}) == std::byte{0}) {
    vectors_.disable();
    return;
  }
  const std::array list{wanted()};
  if (vectors_.enabled()) {
    vectors_.update(0, list);
  } else {
    vectors_.enable(list);
  }
}

void MsiCapability::reset() {
  vectors_.release();
  bytes_.fill(std::byte{0});
  config_store(bytes_, PCI_MSI_FLAGS, 2, (wide_ ? PCI_MSI_FLAGS_64BIT : 0U) | (maskable_ ? PCI_MSI_FLAGS_MASKBIT : 0U));
}

}  // namespace pcivm::vmm
