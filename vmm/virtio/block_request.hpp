// SPDX-License-Identifier: GPL-2.0-or-later
// One request to a disk: what the guest wants, checked, and how far it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/mapping.hpp"
#include "vmm/virtio/chain.hpp"
#include "vmm/virtio/disk_file.hpp"
#include "vmm/virtio/io_engine.hpp"

namespace pcivm::vmm {

/// What a request may do on this disk.
struct BlockLimits {
  DiskGeometry geometry;
  bool read_only{};
  std::string_view serial;
  std::uint32_t most_discard{};  ///< sectors in one discard or write-zeroes request
};

/// Not synchronised. parse() -> submit() -> advance() until there is a status -> answer().
class BlockRequest final {
 public:
  VirtioChain chain;
  unsigned queue{};

  /// Reads and checks the header. Errc::invalid: this is no request at all. What is one but cannot be done has a status
  /// at once.
  [[nodiscard]] Result<void> parse(const BlockLimits& limits);
  /// What it will read and write, after parse().
  [[nodiscard]] std::uint64_t bytes() const { return status_ || !moves_data() ? 0 : left_; }
  [[nodiscard]] bool has_status() const { return status_.has_value(); }

  /// Asks the engine for the next step; without a status only.
  void submit(IoEngine& engine, FdRef file, std::uint64_t token);
  /// What came of the step: there is a status now, or another step to submit. The error is the host's, for the log.
  [[nodiscard]] Result<void> advance(std::int32_t result);
  /// Writes the status where the driver looks for it.
  void answer() const;

 private:
  enum class Kind : std::uint8_t { read, write, sync, allocate, zeroes };
  [[nodiscard]] bool moves_data() const { return kind_ != Kind::sync && (kind_ != Kind::allocate || must_be_zero_); }
  void end(std::uint8_t status) { status_ = status; }
  void parse_transfer(const BlockLimits& limits, std::uint64_t sector);
  void parse_discard(const BlockLimits& limits, ChainReader reader, bool zeroes);
  void identify(std::string_view serial);
  [[nodiscard]] bool aligned() const;
  [[nodiscard]] Result<void> failed(int error);
  void write_zeroes();

  Kind kind_{};
  std::optional<std::uint8_t> status_;
  std::uint64_t offset_{};      // in the disk, of what is left
  std::uint64_t left_{};        // bytes
  std::vector<iovec> parts_;    // of what is left
  std::uint32_t alignment_{1};  // of buffers
  int mode_{};                  // of fallocate
  bool must_be_zero_{};         // what fallocate is asked for
  Mapping bounce_;              // for buffers that are not aligned
  std::vector<iovec> step_;     // what was submitted last, when it is not parts_
  bool bounced_{};
};

}  // namespace pcivm::vmm
