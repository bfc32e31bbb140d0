// SPDX-License-Identifier: GPL-2.0-or-later
// A part of guest RAM in which driver and device talk to each other: each value is read or written in one access.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::vmm {

/// Any thread. Values are little-endian, as this host is. The driver may change them at any time, so a value is loaded
/// once and the copy is judged. Offsets are the caller's to keep inside and aligned; RAM regions keep the alignment of
/// a guest address.
class RingMemory final {
 public:
  RingMemory() = default;
  /// Errc::invalid when outside of RAM, in two regions, or not aligned.
  [[nodiscard]] static Result<RingMemory> map(const GuestMemory& memory, Gpa address, std::uint64_t length,
                                              std::uint64_t alignment);

  template <std::unsigned_integral T>
  [[nodiscard]] T load(std::size_t offset, std::memory_order order = std::memory_order_relaxed) const {
    return std::atomic_ref{at<T>(offset)}.load(order);
  }
  template <std::unsigned_integral T>
  void store(std::size_t offset, T value, std::memory_order order = std::memory_order_relaxed) const {
    std::atomic_ref{at<T>(offset)}.store(value, order);
  }
  [[nodiscard]] std::size_t length() const { return bytes_.size(); }

 private:
  explicit RingMemory(std::span<std::byte> bytes) : bytes_{bytes} {}
  template <std::unsigned_integral T>
  [[nodiscard]] T& at(std::size_t offset) const {
    return *static_cast<T*>(static_cast<void*>(bytes_.subspan(offset, sizeof(T)).data()));
  }
  std::span<std::byte> bytes_;
};

}  // namespace pcivm::vmm
