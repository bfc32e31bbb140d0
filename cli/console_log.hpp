// SPDX-License-Identifier: GPL-2.0-or-later
// The last that a guest said on its console, each byte known by its number since the VM's start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pcivm::cli {

/// Takes no more memory than was said. Single-threaded.
class ConsoleLog final {
 public:
  explicit ConsoleLog(std::size_t capacity) : capacity_{capacity} {}

  /// The oldest bytes make room.
  void append(std::span<const std::byte> data);
  /// Numbers of the oldest byte that is still there, and of the next one to come.
  [[nodiscard]] std::uint64_t begin() const { return end_ - bytes_.size(); }
  [[nodiscard]] std::uint64_t end() const { return end_; }
  /// Bytes from number `position` on, which is not below begin(): all, or those up to a seam. Valid until append().
  [[nodiscard]] std::span<const std::byte> from(std::uint64_t position) const;
  /// All that is there.
  [[nodiscard]] std::string text() const;

 private:
  std::size_t capacity_;
  std::vector<std::byte> bytes_;  // byte number n is at n % capacity_
  std::uint64_t end_{};
};

}  // namespace pcivm::cli
