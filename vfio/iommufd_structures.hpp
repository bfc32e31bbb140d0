// SPDX-License-Identifier: GPL-2.0-or-later
// Kernel structures of iommufd and of VFIO's character devices (Linux 6.6, include/uapi/linux/iommufd.h and vfio.h),
// which the headers of Debian 12 do not have.
#pragma once

#include <linux/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace pcivm::vfio::uapi {

struct BindIommufd {
  static constexpr unsigned long kRequest{_IO(';', 118)};
  static constexpr std::uint32_t kWithToken{1};  ///< Linux 6.17; before that the kernel knows no flag
  std::uint32_t argsz{};
  std::uint32_t flags{};
  std::int32_t iommufd{};
  std::uint32_t out_devid{};
  std::uint64_t token_uuid{};  ///< address of 16 bytes
};

struct AttachIommufd {
  static constexpr unsigned long kRequest{_IO(';', 119)};
  std::uint32_t argsz{};
  std::uint32_t flags{};
  std::uint32_t pt_id{};
};

struct Destroy {
  static constexpr unsigned long kRequest{_IO(';', 0x80)};
  std::uint32_t size{};
  std::uint32_t id{};
};

struct IoasAlloc {
  static constexpr unsigned long kRequest{_IO(';', 0x81)};
  std::uint32_t size{};
  std::uint32_t flags{};
  std::uint32_t out_ioas_id{};
};

struct IoasRange {
  std::uint64_t first{};
  std::uint64_t last{};
};

struct IoasRanges {
  static constexpr unsigned long kRequest{_IO(';', 0x84)};
  std::uint32_t size{};
  std::uint32_t ioas_id{};
  std::uint32_t num_iovas{};
  std::uint32_t reserved{};
  std::uint64_t allowed_iovas{};  ///< address of num_iovas IoasRange
  std::uint64_t out_iova_alignment{};
};

struct IoasMap {
  static constexpr unsigned long kRequest{_IO(';', 0x85)};
  static constexpr std::uint32_t kFixed{1};
  static constexpr std::uint32_t kWriteable{2};
  static constexpr std::uint32_t kReadable{4};
  std::uint32_t size{};
  std::uint32_t flags{};
  std::uint32_t ioas_id{};
  std::uint32_t reserved{};
  std::uint64_t user_va{};
  std::uint64_t length{};
  std::uint64_t iova{};
};

struct IoasUnmap {
  static constexpr unsigned long kRequest{_IO(';', 0x86)};
  std::uint32_t size{};
  std::uint32_t ioas_id{};
  std::uint64_t iova{};
  std::uint64_t length{};
};

static_assert(sizeof(BindIommufd) == 24 && offsetof(BindIommufd, token_uuid) == 16);
static_assert(sizeof(Destroy) == 8 && sizeof(AttachIommufd) == 12 && sizeof(IoasAlloc) == 12);
static_assert(sizeof(IoasRanges) == 32 && sizeof(IoasMap) == 40 && sizeof(IoasUnmap) == 24);

}  // namespace pcivm::vfio::uapi
