// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/msi_capability.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>

#include "base/pci_config.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kSmallConfig = 256;
constexpr unsigned kMostVectors = 32;
constexpr unsigned kCapableShift = 1;  // of Multiple Message Capable in the control word
constexpr unsigned kEnableShift = 4;   // of Multiple Message Enable
constexpr unsigned kByteBits = 8;

std::uint16_t flags_of(const vfio::Device& device, std::uint16_t capability) {
  return config_u16(device.config(), capability + PCI_MSI_FLAGS);
}

// What hardware has, less what VFIO does not know of. A reserved count (6 and 7) is the most that there is.
unsigned capable_vectors(const vfio::Device& device, std::uint16_t capability) {
  const auto hardware =
      std::min(kMostVectors, 1U << ((flags_of(device, capability) & PCI_MSI_FLAGS_QMASK) >> kCapableShift));
  return std::bit_floor(std::min(hardware, std::max(1U, device.irq(vfio::Irq::msi).count)));
}

}  // namespace

std::uint16_t MsiCapability::find(const vfio::Device& device) {
  const auto capability = find_capability(device.config(), PCI_CAP_ID_MSI);
  const bool possible = capability + kMostBytes <= kSmallConfig && device.irq(vfio::Irq::msi).count != 0;
  return possible ? capability : std::uint16_t{0};
}

MsiCapability::MsiCapability(const vfio::Device& device, std::uint16_t capability, InterruptRoutes& routes,
                             const MsiVectors::Report& report)
    : capability_{capability},
      wide_{(flags_of(device, capability) & PCI_MSI_FLAGS_64BIT) != 0},
      maskable_{(flags_of(device, capability) & PCI_MSI_FLAGS_MASKBIT) != 0},
      capable_{static_cast<unsigned>(std::countr_zero(capable_vectors(device, capability)))},
      vectors_{device, vfio::Irq::msi, 1U << capable_, routes, report} {
  reset();
}

bool MsiCapability::covers(std::uint16_t offset) const {
  return offset >= capability_ + PCI_MSI_FLAGS && offset < capability_ + msi_length(config_u16(bytes_, PCI_MSI_FLAGS));
}

std::byte MsiCapability::read(std::uint16_t offset) {
  const auto at = static_cast<std::size_t>(offset - capability_);
  const auto pending = mask_offset() + std::size_t{4};
  if (!maskable_ || at < pending) return bytes_.at(at);
  const auto first = static_cast<unsigned>(at - pending) * kByteBits;
  unsigned bits = 0;
  for (unsigned bit = 0; bit < kByteBits; ++bit) bits |= (vectors_.pending(first + bit) ? 1U : 0U) << bit;
  return static_cast<std::byte>(bits);
}

std::byte MsiCapability::writable(std::size_t at) const {
  if (at == PCI_MSI_FLAGS) return std::byte{PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE};
  if (at == PCI_MSI_ADDRESS_LO) return std::byte{0xfc};
  if (at > PCI_MSI_ADDRESS_LO && at < data_offset() + 2U) return std::byte{0xff};
  if (maskable_ && at >= mask_offset() && at < mask_offset() + 4U) {
    // A bit for each vector.
    const auto first = (at - mask_offset()) * kByteBits;
    const std::uint64_t all = (std::uint64_t{1} << (1U << capable_)) - 1;
    return static_cast<std::byte>(all >> first & 0xffU);
  }
  return std::byte{0};
}

void MsiCapability::limit_vectors() {
  constexpr std::uint32_t kField = PCI_MSI_FLAGS_QSIZE;
  const std::uint32_t control = config_u16(bytes_, PCI_MSI_FLAGS);
  const auto enabled = std::min((control & kField) >> kEnableShift, capable_);
  config_store(bytes_, PCI_MSI_FLAGS, 2, (control & ~kField) | enabled << kEnableShift);
}

unsigned MsiCapability::enabled_vectors() const {
  return 1U << ((config_u16(bytes_, PCI_MSI_FLAGS) & PCI_MSI_FLAGS_QSIZE) >> kEnableShift);
}

std::vector<MsiVectors::Wanted> MsiCapability::wanted() const {
  const auto masks = maskable_ ? config_u32(bytes_, mask_offset()) : 0U;
  const std::uint64_t high = wide_ ? config_u32(bytes_, PCI_MSI_ADDRESS_HI) : 0;
  const auto address = config_u32(bytes_, PCI_MSI_ADDRESS_LO) | high << 32U;
  const unsigned data = config_u16(bytes_, data_offset());
  std::vector<MsiVectors::Wanted> list(enabled_vectors());
  for (unsigned vector = 0; vector < list.size(); ++vector) {
    const MsiMessage message{.address = address, .data = (data & ~static_cast<unsigned>(list.size() - 1)) | vector};
    if ((masks >> vector & 1U) == 0 && deliverable(message)) list[vector] = message;
  }
  return list;
}

void MsiCapability::write(std::uint16_t offset, std::span<const std::byte> data) {
  for (std::size_t index = 0; index < data.size(); ++index) {
    const auto target = static_cast<std::uint16_t>(offset + index);
    if (!covers(target)) continue;
    auto& byte = bytes_.at(static_cast<std::size_t>(target - capability_));
    const auto mask = writable(static_cast<std::size_t>(target - capability_));
    byte = (byte & ~mask) | (data[index] & mask);
  }
  limit_vectors();
  if ((bytes_[PCI_MSI_FLAGS] & std::byte{PCI_MSI_FLAGS_ENABLE}) == std::byte{0}) {
    vectors_.disable();
    return;
  }
  const auto list = wanted();
  if (list.size() != wired_) vectors_.disable();
  wired_ = list.size();
  if (vectors_.enabled()) {
    vectors_.update(0, list);
  } else {
    vectors_.enable(list);
  }
}

void MsiCapability::reset() {
  vectors_.release();
  bytes_.fill(std::byte{0});
  config_store(
      bytes_, PCI_MSI_FLAGS, 2,
      capable_ << kCapableShift | (wide_ ? PCI_MSI_FLAGS_64BIT : 0U) | (maskable_ ? PCI_MSI_FLAGS_MASKBIT : 0U));
}

}  // namespace pcivm::vmm
