// SPDX-License-Identifier: GPL-2.0-or-later
// A PCI function as the bus needs it, and no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace pcivm::vmm {

/// What a BAR wants from the address allocator. Index 0..5; a 64-bit BAR takes two indices and is listed once.
struct BarRequest {
  unsigned index{};
  std::uint64_t size{};  ///< power of two
  bool io{};
  bool is_64bit{};
  bool prefetchable{};
};

/// The bus calls on vCPU threads, one configuration access at a time for each function; BAR accesses reach the device
/// through the IoBus ranges that the device itself adds and removes as its COMMAND, BARs and power state change.
class PciDevice {
 public:
  virtual ~PciDevice() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// Known before the device answers (from sysfs), because windows and addresses are chosen while it is being opened.
  [[nodiscard]] virtual std::vector<BarRequest> bars() const = 0;
  /// The address that firmware would have programmed into BAR `index`; called once for each before the first vCPU runs.
  virtual void place_bar(unsigned index, std::uint64_t address) = 0;

  /// `offset` 0..4095; `data` is 1, 2 or 4 bytes and does not cross a dword. May wait until the device is ready.
  virtual void config_read(std::uint16_t offset, std::span<std::byte> data) = 0;
  virtual void config_write(std::uint16_t offset, std::span<const std::byte> data) = 0;
  /// What may have been in the way of a BAR is gone. Never waits for the device.
  virtual void decode_again() {}
};

}  // namespace pcivm::vmm
