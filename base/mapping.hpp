// SPDX-License-Identifier: GPL-2.0-or-later
// RAII over mmap(2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace pcivm {

enum class Access : std::uint8_t { read, read_write };

/// Owns one mapped range; unmaps it on destruction. Move-only; the address does not change on a move.
class Mapping final {
 public:
  Mapping() = default;
  /// MAP_SHARED of `length` bytes of `fd` at `offset`. `alignment` (power of two, >= page) places the range so
  /// that address and offset agree modulo it, which lets the kernel use huge page-table entries.
  [[nodiscard]] static Result<Mapping> shared(FdRef fd, std::uint64_t offset, std::uint64_t length, Access access,
                                              std::uint64_t alignment = kPageSize);
  /// What is written to it stays in this process; `fd` may be open for reading only.
  [[nodiscard]] static Result<Mapping> copy_on_write(FdRef fd, std::uint64_t length,
                                                     std::uint64_t alignment = kPageSize);
  /// Private zero memory, not reserved, aligned as asked.
  [[nodiscard]] static Result<Mapping> anonymous(std::uint64_t length, std::uint64_t alignment = kPageSize);

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::span<std::byte> bytes() const { return {address_, length_}; }
  [[nodiscard]] Hva hva() const;
  [[nodiscard]] std::uint64_t length() const { return length_; }
  [[nodiscard]] explicit operator bool() const { return address_ != nullptr; }

  /// madvise(2) on a part; the caller picks MADV_*.
  [[nodiscard]] Result<void> advise(std::uint64_t offset, std::uint64_t length, int advice) const;

 private:
  Mapping(std::byte* address, std::uint64_t length) : address_{address}, length_{length} {}
  static Result<Mapping> place(int fd, std::uint64_t offset, std::uint64_t length, int protection, int flags,
                               std::uint64_t alignment);
  std::byte* address_{};
  std::uint64_t length_{};
};

}  // namespace pcivm
