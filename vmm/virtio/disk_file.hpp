// SPDX-License-Identifier: GPL-2.0-or-later
// A raw image or a block device that a guest gets as a disk: opened, locked, measured.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

inline constexpr std::uint64_t kSector = 512;

struct DiskGeometry {
  std::uint64_t sectors{};               ///< of 512 bytes
  std::uint32_t block_size{kSector};     ///< the smallest unit of I/O
  std::uint32_t physical_size{kSector};  ///< the smallest unit that is not read and written back
  std::uint32_t memory_alignment{1};     ///< of buffers; above 1 with O_DIRECT only
};

struct DiskFile {
  Fd file;
  DiskGeometry geometry;
};

struct DiskAccess {
  bool read_only{};
  bool direct{};
  std::uint64_t unit{};  ///< its size must be a multiple of, when that is more than the disk wants
};

/// Errc::invalid: neither a file nor a block device, or of an odd size; busy: another VM, or a mount, has it.
/// The lock lives as long as the last copy of the descriptor.
[[nodiscard]] Result<DiskFile> open_disk(IoctlPort& port, const std::string& path, const DiskAccess& access);

}  // namespace pcivm::vmm
