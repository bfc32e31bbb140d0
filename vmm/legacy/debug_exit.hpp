// SPDX-License-Identifier: GPL-2.0-or-later
// Port 0xf4: a kernel made for tests ends its VM with a number (QEMU's isa-debug-exit at its usual place).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// `ended` gets each number that is written, of one to four bytes, on the vCPU's thread; it only notes or posts.
class DebugExit final : public IoHandler {
 public:
  static constexpr std::uint16_t kPort = 0xf4;
  static constexpr std::uint64_t kLength = 4;

  explicit DebugExit(std::function<void(std::uint32_t)> ended) : ended_{std::move(ended)} {}
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override { std::ranges::fill(data, std::byte{0}); }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    if (offset == 0) ended_(static_cast<std::uint32_t>(load_le(data)));
  }

 private:
  std::function<void(std::uint32_t)> ended_;
};

}  // namespace pcivm::vmm
