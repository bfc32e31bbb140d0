// SPDX-License-Identifier: GPL-2.0-or-later
// Messages of vfio-user as they are on the socket (QEMU's docs/interop/vfio-user.rst, "Protocol Specification"). What
// is not here is a structure of <linux/vfio.h>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pcivm::vfio::user {

enum class Command : std::uint16_t {
  version = 1,
  dma_map = 2,
  dma_unmap = 3,
  get_info = 4,
  get_region_info = 5,
  get_irq_info = 7,
  set_irqs = 8,
  region_read = 9,
  region_write = 10,
  dma_read = 11,   ///< from the server
  dma_write = 12,  ///< from the server
  reset = 13,
};

struct Header {
  static constexpr std::uint32_t kTypes = 0xf;
  static constexpr std::uint32_t kCommand = 0;
  static constexpr std::uint32_t kReply = 1;
  static constexpr std::uint32_t kNoReply = 1U << 4U;
  static constexpr std::uint32_t kError = 1U << 5U;
  std::uint16_t id{};
  Command command{};
  std::uint32_t size{};  ///< of the whole message
  std::uint32_t flags{};
  std::uint32_t error{};  ///< errno
};

struct Version {
  std::uint16_t major_number{};
  std::uint16_t minor_number{};
};  // then JSON and a zero

struct DeviceInfo {  // without what <linux/vfio.h> has added
  std::uint32_t argsz{};
  std::uint32_t flags{};
  std::uint32_t num_regions{};
  std::uint32_t num_irqs{};
};

struct DmaMap {
  static constexpr std::uint32_t kReadable = 1;
  static constexpr std::uint32_t kWriteable = 2;
  std::uint32_t argsz{};
  std::uint32_t flags{};
  std::uint64_t offset{};
  std::uint64_t address{};
  std::uint64_t size{};
};

struct DmaUnmap {
  std::uint32_t argsz{};
  std::uint32_t flags{};
  std::uint64_t address{};
  std::uint64_t size{};
};

struct IrqSet {  // without the flexible array of vfio_irq_set
  std::uint32_t argsz{};
  std::uint32_t flags{};
  std::uint32_t index{};
  std::uint32_t start{};
  std::uint32_t count{};
};

struct RegionAccess {
  std::uint64_t offset{};
  std::uint32_t region{};
  std::uint32_t count{};
};  // then data

struct DmaAccess {
  std::uint64_t address{};
  std::uint64_t count{};
};  // then data

static_assert(sizeof(Header) == 16 && sizeof(Version) == 4 && sizeof(DeviceInfo) == 16 && sizeof(DmaMap) == 32 &&
              sizeof(DmaUnmap) == 24 && sizeof(IrqSet) == 20 && sizeof(RegionAccess) == 16 && sizeof(DmaAccess) == 16);

/// What a peer takes in one message.
struct Limits {
  std::uint32_t transfer{1U << 20U};  ///< bytes of data; what it is when nothing is said
  std::uint32_t files{1};             ///< the same
};

template <class T>
[[nodiscard]] std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span{&value, 1});
}

}  // namespace pcivm::vfio::user
