// SPDX-License-Identifier: GPL-2.0-or-later
// Port 0x402: what firmware made for virtual machines says while it starts, byte by byte.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// Firmware is silent unless the port reads 0xe9. `output` locks itself. Any thread.
class DebugPort final : public IoHandler {
 public:
  explicit DebugPort(std::function<void(std::span<const std::byte>)> output) : output_{std::move(output)} {}
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override { std::ranges::fill(data, std::byte{0xe9}); }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> data) override { output_(data); }

 private:
  std::function<void(std::span<const std::byte>)> output_;
};

}  // namespace pcivm::vmm
