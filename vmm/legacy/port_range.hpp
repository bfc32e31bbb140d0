// SPDX-License-Identifier: GPL-2.0-or-later
// Puts a device of byte-wide ISA ports on an IoBus.
#pragma once

#include <cstdint>
#include <span>

#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// Splits an access into its bytes, lowest port first, as the ISA bus does for 8-bit devices. Bytes beyond the range
/// read all-ones and are not written. `Device` has read(port) and write(port, value) and locks itself.
template <class Device>
class PortRange final : public IoHandler {
 public:
  PortRange(Device& device, std::uint16_t first, std::uint16_t count) : device_{device}, first_{first}, count_{count} {}

  void read(std::uint64_t offset, std::span<std::byte> data) override {
    for (auto& byte : data) {
      byte = offset < count_ ? std::byte{device_.read(port(offset))} : std::byte{0xff};
      ++offset;
    }
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    for (const auto byte : data) {
      if (offset >= count_) return;
      device_.write(port(offset++), std::to_integer<std::uint8_t>(byte));
    }
  }

 private:
  [[nodiscard]] std::uint16_t port(std::uint64_t offset) const { return static_cast<std::uint16_t>(first_ + offset); }
  Device& device_;
  std::uint16_t first_;
  std::uint16_t count_;
};

}  // namespace pcivm::vmm
