// SPDX-License-Identifier: GPL-2.0-or-later
// Buffers that a driver handed over as one request (virtio 1.2, 2.6): checked addresses in guest RAM.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/ring_bits.hpp"

namespace pcivm::vmm {

/// A device makes no assumption about how bytes are spread over buffers (2.6.4), so it goes through ChainReader and
/// ChainWriter, or hands the buffers to the kernel as they are.
struct VirtioChain {
  std::uint16_t id{};              ///< what the driver knows it by
  std::uint16_t slots{};           ///< descriptors of the ring that it takes
  std::vector<iovec> readable;     ///< by the device
  std::vector<iovec> writable;     ///< by the device
  std::uint64_t readable_bytes{};  ///< sum, below 2^32
  std::uint64_t writable_bytes{};
};

/// Fills a chain, checking each buffer. Each failure is Errc::invalid: the driver broke the specification.
class ChainBuilder final {
 public:
  /// `most` buffers at most.
  ChainBuilder(const GuestMemory& memory, VirtioChain& chain, unsigned most);
  /// Inside RAM, not empty, readable buffers before writable ones, less than 4 GiB in all.
  [[nodiscard]] Result<void> add(std::uint64_t address, std::uint32_t length, std::uint16_t flags);

 private:
  const GuestMemory& memory_;
  VirtioChain& chain_;
  unsigned most_;
};

/// Takes bytes from the front of the readable buffers.
class ChainReader final {
 public:
  explicit ChainReader(const VirtioChain& chain) : parts_{chain.readable}, left_{chain.readable_bytes} {}
  [[nodiscard]] std::uint64_t left() const { return left_; }
  /// Copies; false, and nothing taken, when there is less.
  [[nodiscard]] bool read(std::span<std::byte> data);
  /// Appends what is left to `parts`, without copying.
  void rest(std::vector<iovec>& parts) const;

 private:
  std::span<const iovec> parts_;
  std::size_t offset_{};  // in the first part
  std::uint64_t left_;
};

/// Puts bytes at the front of the writable buffers.
class ChainWriter final {
 public:
  explicit ChainWriter(const VirtioChain& chain) : parts_{chain.writable}, left_{chain.writable_bytes} {}
  [[nodiscard]] std::uint64_t left() const { return left_; }
  [[nodiscard]] std::uint32_t written() const { return written_; }
  /// Writes what fits; how many bytes did.
  std::size_t write(std::span<const std::byte> data);
  /// Appends `length` bytes of buffer (no more than left()) to `parts`; they count as written.
  void reserve(std::uint64_t length, std::vector<iovec>& parts);

 private:
  std::span<std::byte> front(std::uint64_t length);
  std::span<const iovec> parts_;
  std::size_t offset_{};  // in the first part
  std::uint64_t left_;
  std::uint32_t written_{};
};

/// Writes to what of the buffers is behind `offset`, as far as they go.
void copy_to(std::span<const iovec> parts, std::uint64_t offset, std::span<const std::byte> data);
/// Writes inside the writable buffers; false, and nothing written, when they end before.
[[nodiscard]] bool put_at(const VirtioChain& chain, std::uint64_t offset, std::span<const std::byte> data);
/// Drops `length` bytes from the front of a list of buffers.
void drop_front(std::vector<iovec>& parts, std::uint64_t length);
[[nodiscard]] std::uint64_t total_length(std::span<const iovec> parts);

}  // namespace pcivm::vmm
