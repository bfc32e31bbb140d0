// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/q35.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <utility>

#include "base/pci_config.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint32_t kIntel = 0x8086;
constexpr std::uint16_t kQ35 = 0x29c0;
constexpr std::uint16_t kIch9Lpc = 0x2918;
constexpr std::uint32_t kHostBridge = 0x060000;
constexpr std::uint32_t kIsaBridge = 0x060100;

// PCIEXBAR (Intel 3 Series datasheet, 5.1.18).
constexpr std::uint16_t kEcamRegister = 0x60;
constexpr std::uint32_t kEcamEnable = 1U << 0U;
constexpr unsigned kEcamSizeShift = 1;
constexpr std::uint64_t kEcamLargest = 256 * kMiB;
constexpr std::uint64_t kEcamAddress = 0xfffffffff;  // 36 bits

// LPC bridge (Intel ICH9 datasheet, 13.1).
constexpr std::uint16_t kPmBase = 0x40;
constexpr std::uint32_t kIoSpace = 1;
constexpr std::uint16_t kAcpiControl = 0x44;
constexpr std::uint32_t kAcpiEnable = 1U << 7U;

}  // namespace

ChipsetFunction::ChipsetFunction(std::uint16_t device, std::uint32_t pci_class) {
  config_store(config_, PCI_VENDOR_ID, 4, kIntel | std::uint32_t{device} << 16U);
  config_store(config_, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  config_store(config_, PCI_CLASS_REVISION, 4, pci_class << 8U | 2U);
}

void ChipsetFunction::config_read(std::uint16_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  if (offset + data.size() > config_.size()) return;
  std::copy_n(config_.begin() + offset, data.size(), data.begin());
}

void ChipsetFunction::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  const bool keeps = offset >= PCI_STD_HEADER_SIZEOF || offset == PCI_INTERRUPT_LINE;
  if (keeps && offset + data.size() <= config_.size()) std::ranges::copy(data, config_.begin() + offset);
}

Q35HostBridge::Q35HostBridge(std::function<void(std::optional<Gpa>)> place_ecam)
    : ChipsetFunction{kQ35, kHostBridge}, place_ecam_{std::move(place_ecam)} {}

std::optional<Gpa> Q35HostBridge::programmed() const {
  const auto low = config_u32(config_, kEcamRegister);
  const auto size = low >> kEcamSizeShift & 3U;
  if ((low & kEcamEnable) == 0 || size == 3) return std::nullopt;
  const auto address = std::uint64_t{config_u32(config_, kEcamRegister + 4)} << 32U | low;
  return Gpa{align_down(address & kEcamAddress, kEcamLargest >> size)};
}

void Q35HostBridge::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  ChipsetFunction::config_write(offset, data);
  if (offset < kEcamRegister || offset >= kEcamRegister + 8) return;
  const auto wanted = programmed();
  {
    const std::scoped_lock lock{mutex_};
    if (std::exchange(ecam_, wanted) == wanted) return;
  }
  place_ecam_(wanted);
}

void Q35HostBridge::reset() {
  std::ranges::fill(std::span{config_}.subspan(PCI_STD_HEADER_SIZEOF), std::byte{0});
  const std::scoped_lock lock{mutex_};
  if (std::exchange(ecam_, std::nullopt)) place_ecam_(std::nullopt);
}

std::optional<Gpa> Q35HostBridge::ecam() const {
  const std::scoped_lock lock{mutex_};
  return ecam_;
}

Ich9LpcBridge::Ich9LpcBridge() : ChipsetFunction{kIch9Lpc, kIsaBridge} {
  config_store(config_, kPmBase, 4, platform::port::kAcpiPm | kIoSpace);
  config_store(config_, kAcpiControl, 1, kAcpiEnable);
}

void Ich9LpcBridge::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  if (offset < kPmBase || offset > kAcpiControl) ChipsetFunction::config_write(offset, data);
}

}  // namespace pcivm::vmm
