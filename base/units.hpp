// SPDX-License-Identifier: GPL-2.0-or-later
// Addresses of three different spaces, as types that cannot be swapped by accident, and sizes.
#pragma once

#include <compare>
#include <cstdint>

namespace pcivm {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kPageSize = 4096;

/// Guest physical address.
struct Gpa {
  std::uint64_t value{};
  auto operator<=>(const Gpa&) const = default;
};
/// I/O virtual address: what a device puts on the bus, translated by the IOMMU.
struct Iova {
  std::uint64_t value{};
  auto operator<=>(const Iova&) const = default;
};
/// Host virtual address in this process.
struct Hva {
  std::uint64_t value{};
  auto operator<=>(const Hva&) const = default;
};

constexpr Gpa operator+(Gpa base, std::uint64_t bytes) { return Gpa{base.value + bytes}; }
constexpr Iova operator+(Iova base, std::uint64_t bytes) { return Iova{base.value + bytes}; }
constexpr Hva operator+(Hva base, std::uint64_t bytes) { return Hva{base.value + bytes}; }

/// `alignment` is a power of two. align_up wraps at 2^64: check the operand first when a guest chose it.
constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t alignment) { return value & ~(alignment - 1); }
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return align_down(value + alignment - 1, alignment);
}
constexpr bool is_aligned(std::uint64_t value, std::uint64_t alignment) { return (value & (alignment - 1)) == 0; }

/// True when [offset, offset + length) lies inside [0, size); never overflows.
constexpr bool fits(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
  return offset <= size && length <= size - offset;
}

}  // namespace pcivm
