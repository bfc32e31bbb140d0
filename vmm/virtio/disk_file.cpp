// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/disk_file.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/shared_file.hpp"

namespace pcivm::vmm {

namespace {

constexpr Ioctl<std::uint64_t> kBytes{"BLKGETSIZE64", BLKGETSIZE64};
constexpr Ioctl<int> kLogical{"BLKSSZGET", BLKSSZGET};
constexpr Ioctl<unsigned> kPhysical{"BLKPBSZGET", BLKPBSZGET};
constexpr std::uint32_t kDirectUnit = 4096;  // where the kernel does not say: enough for every file system
constexpr std::uint32_t kLargestUnit = 65536;

Error in_use(Error error, const std::string& path) {
  return std::move(error).as(Errc::busy).within(fmt::format("'{}' is in use", path)).coded("disk.in_use");
}

// Two writers of one image destroy it.
Result<void> lock(FdRef file, const std::string& path, bool read_only) {
  auto held = lock_open_file(file, !read_only);
  if (held) return held;
  return fail(in_use(std::move(held).error(), path).advise("another VM has this disk: see pcivm vm list"));
}

Result<std::uint32_t> unit(std::uint64_t value, std::string_view what) {
  if (std::has_single_bit(value) && value >= kSector && value <= kLargestUnit) return static_cast<std::uint32_t>(value);
  return fail(Errc::invalid, fmt::format("{} of {} bytes found, a power of two from 512 to 65536 wanted", what, value));
}

Result<DiskGeometry> measure_device(IoctlPort& port, FdRef file, bool direct) {
  std::uint64_t bytes = 0;
  int logical = 0;
  unsigned physical = 0;
  TRY(kBytes(port, file, bytes));
  TRY(kLogical(port, file, logical));
  TRY(kPhysical(port, file, physical));
  DiskGeometry geometry;
  geometry.sectors = bytes / kSector;
  geometry.block_size = TRY(unit(static_cast<std::uint64_t>(std::max(logical, 0)), "a block size"));
  geometry.physical_size = std::max(geometry.block_size, TRY(unit(physical, "a physical block size")));
  if (direct) geometry.memory_alignment = geometry.block_size;
  return geometry;
}

Result<DiskGeometry> measure_file(FdRef file, std::uint64_t bytes, bool direct) {
  DiskGeometry geometry{.sectors = bytes / kSector, .physical_size = kDirectUnit};
  if (direct) {
    geometry.block_size = geometry.memory_alignment = kDirectUnit;
#ifdef STATX_DIOALIGN
    struct statx facts{};
    if (::statx(file.number(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) == 0 &&
        (facts.stx_mask & STATX_DIOALIGN) != 0) {
      if (facts.stx_dio_offset_align == 0) return fail(Errc::invalid, "its file system has no direct I/O");
      geometry.block_size = TRY(unit(std::max<std::uint64_t>(facts.stx_dio_offset_align, kSector), "a unit of I/O"));
      geometry.memory_alignment = std::max(facts.stx_dio_mem_align, 1U);
    }
#else
    (void)file;
#endif
  }
  return geometry;
}

}  // namespace

Result<DiskFile> open_disk(IoctlPort& port, const std::string& path, const DiskAccess& access) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  const bool block = S_ISBLK(facts.st_mode);
  if (!block && !S_ISREG(facts.st_mode)) {
    return fail(Errc::invalid, fmt::format("'{}' is neither a regular file nor a block device", path));
  }
  // O_EXCL: the kernel refuses a device that is mounted, or part of what is.
  const int flags = (access.read_only ? O_RDONLY : O_RDWR) | (access.direct ? O_DIRECT : 0) |
                    (block && !access.read_only ? O_EXCL : 0) | O_NONBLOCK | O_NOCTTY;
  auto file = open_path(path, flags);
  if (!file) {
    auto error = std::move(file).error();
    if (error.sys_errno() == EBUSY) {
      return fail(in_use(std::move(error), path).advise("see lsblk and findmnt for who has it mounted"));
    }
    if (error.sys_errno() == EROFS || error.sys_errno() == EACCES || error.sys_errno() == EPERM) {
      error = std::move(error).advise("a disk that cannot be written needs 'readonly'");
    }
    return fail(std::move(error));
  }
  if (::fstat(file->ref().number(), &facts) != 0 || S_ISBLK(facts.st_mode) != block) {
    return fail(Errc::invalid, fmt::format("'{}' was replaced meanwhile", path));
  }
  TRY(lock(file->ref(), path, access.read_only));
  auto geometry = block ? measure_device(port, file->ref(), access.direct)
                        : measure_file(file->ref(), static_cast<std::uint64_t>(facts.st_size), access.direct);
  if (!geometry) return fail(std::move(geometry).error().within(fmt::format("'{}'", path)));
  const auto unit = std::max<std::uint64_t>(access.unit, geometry->block_size);
  const auto bytes = block ? geometry->sectors * kSector : static_cast<std::uint64_t>(facts.st_size);
  if (bytes == 0 || bytes % unit != 0) {
    return fail(Error::make(Errc::invalid, fmt::format("'{}' has {} bytes, a multiple of {} wanted", path, bytes, unit))
                    .advise(fmt::format("truncate -s %{} '{}'", unit, path)));
  }
  return DiskFile{.file = std::move(*file), .geometry = *geometry};
}

}  // namespace pcivm::vmm
