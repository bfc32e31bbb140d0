// SPDX-License-Identifier: GPL-2.0-or-later
// Port 0x80: POST codes, and what Linux writes to wait a microsecond (io_delay).
#pragma once

#include <atomic>
#include <cstdint>

namespace pcivm::vmm {

/// Keeps the last byte and does nothing. Any thread.
class PostPort final {
 public:
  [[nodiscard]] std::uint8_t read(std::uint16_t /*port*/) const { return last_; }
  void write(std::uint16_t /*port*/, std::uint8_t value) { last_ = value; }

 private:
  std::atomic<std::uint8_t> last_{};
};

}  // namespace pcivm::vmm
