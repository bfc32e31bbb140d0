// SPDX-License-Identifier: GPL-2.0-or-later
// What <linux/virtio_net.h> has, which is no C++ (virtio 1.2, 5.1).
#pragma once

#include <cstddef>
#include <cstdint>

namespace pcivm::vmm::net_uapi {

/// Feature bits.
enum Feature : unsigned {
  kCsum = 0,
  kGuestCsum = 1,
  kMac = 5,
  kGuestTso4 = 7,
  kGuestTso6 = 8,
  kGuestEcn = 9,
  kHostTso4 = 11,
  kHostTso6 = 12,
  kHostEcn = 13,
  kMergeableBuffers = 15,
  kStatus = 16,
  kControlQueue = 17,
  kMultiQueue = 22,
};

/// The header in front of each frame; where it tells how many buffers the frame took.
inline constexpr std::size_t kHeader = 12;
inline constexpr std::size_t kBufferCount = 10;

struct Config {
  std::uint8_t mac[6];
  std::uint16_t status;
  std::uint16_t most_pairs;
};
inline constexpr std::size_t kConfigLength = 10;
inline constexpr std::uint16_t kLinkUp = 1;

// The control queue.
inline constexpr std::uint8_t kClassMultiQueue = 4;
inline constexpr std::uint8_t kSetPairs = 0;
inline constexpr std::uint8_t kOk = 0;
inline constexpr std::uint8_t kError = 1;

}  // namespace pcivm::vmm::net_uapi
