// SPDX-License-Identifier: GPL-2.0-or-later
// What the PCI functions of our own share: a write to a register of configuration space, and their one memory BAR, of
// which every access traps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "vmm/bar_registers.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// A write that stays inside a dword, as bits of that dword.
struct DwordWrite {
  std::uint16_t dword{};  ///< offset of the dword
  std::uint32_t value{};
  std::uint32_t mask{};  ///< the bits that are written
  [[nodiscard]] static DwordWrite of(std::uint16_t offset, std::span<const std::byte> data);
  /// The dword, or its low half, afterwards.
  [[nodiscard]] std::uint32_t merged(std::uint32_t old) const { return (old & ~mask) | (value & mask); }
};

/// Byte `offset` of a value that starts at `start`.
[[nodiscard]] std::byte byte_of(std::uint32_t value, unsigned offset, unsigned start);

/// Not synchronised.
class TrappedBar final {
 public:
  /// All of it outlives the BAR.
  struct Wiring {
    IoBus& memory;
    /// As in AssignedWiring.
    const std::function<bool(std::uint64_t address, std::uint64_t length)>& may_decode;
    IoHandler& handler;  ///< of accesses to the BAR
    const std::function<void(const Error&)>& report;
  };
  TrappedBar(const BarRequest& request, Wiring wiring);

  /// As PciDevice::place_bar().
  void place(unsigned index, std::uint64_t address);
  /// Is a register of a BAR at `offset` of configuration space?
  [[nodiscard]] static bool covers(unsigned offset);
  [[nodiscard]] std::byte read(unsigned offset) const;
  /// decode() afterwards.
  void write(const DwordWrite& write);
  /// Brings the bus in line with the registers; `on`: memory decoding is. What did not change costs nothing.
  void decode(bool on, std::string_view name);
  /// Where the BAR answers now.
  [[nodiscard]] std::optional<std::uint64_t> decoded() const { return decoded_; }
  /// The registers as they were placed. Nothing is decoded.
  void reset();

 private:
  Wiring wiring_;
  BarRegisters registers_;
  std::uint64_t placed_{};
  std::optional<std::uint64_t> decoded_;
};

}  // namespace pcivm::vmm
