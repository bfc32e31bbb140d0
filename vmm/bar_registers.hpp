// SPDX-License-Identifier: GPL-2.0-or-later
// The six base address registers of a function (PCI 3.0, 6.2.5.1): what the guest reads and writes, nothing mapped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/pci_device.hpp"

namespace pcivm::vmm {

/// Not synchronised. Works for any write: sizes come out by writing all-ones, halves of a 64-bit BAR move separately.
class BarRegisters final {
 public:
  static constexpr unsigned kCount = 6;
  /// Sizes are rounded up to a power of two; a 64-bit BAR at index 5 has no upper half and becomes a 32-bit one;
  /// a second request for a taken register is dropped.
  explicit BarRegisters(std::span<const BarRequest> requests);

  [[nodiscard]] std::span<const BarRequest> requests() const { return requests_; }
  void place(unsigned index, std::uint64_t address);
  void clear();

  [[nodiscard]] std::uint32_t read(unsigned reg) const;
  /// Only the bits of `mask` are written.
  void write(unsigned reg, std::uint32_t value, std::uint32_t mask);
  /// What the registers of BAR `index` say now.
  [[nodiscard]] std::uint64_t address(const BarRequest& request) const;

 private:
  std::vector<BarRequest> requests_;
  std::array<std::uint32_t, kCount> stored_{};      // address bits only
  std::array<std::uint32_t, kCount> changeable_{};  // which bits a write can change
  std::array<std::uint32_t, kCount> flags_{};
};

}  // namespace pcivm::vmm
