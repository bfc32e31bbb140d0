// SPDX-License-Identifier: GPL-2.0-or-later
// Where the frames of a pair of queues go to and come from.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <optional>
#include <span>

#include "base/fd.hpp"

namespace pcivm::vmm {

/// Frames have virtio-net's header in front. For one thread; no call blocks.
class FramePort {
 public:
  static constexpr std::size_t kLongest = 65536 + 64;  ///< a frame of the largest segment, with its headers

  virtual ~FramePort() = default;
  /// What to poll; none once it is gone().
  [[nodiscard]] virtual FdRef fd() const = 0;
  /// The next frame, as far as `to` has room for it: its length then, which is at least that of the header. None when
  /// there is none now. Of a port that keeps() them, one that is longer than `room` stays the next.
  [[nodiscard]] virtual std::optional<std::size_t> receive(std::span<const iovec> to, std::size_t room = kLongest) = 0;
  [[nodiscard]] virtual bool keeps() const = 0;
  /// False: a part of the last frame waits until fd() can be written. It is tried here.
  [[nodiscard]] virtual bool can_send() = 0;
  /// Only after can_send(). At least a header, at most kLongest bytes; a frame that cannot be sent is lost, as on a
  /// wire.
  virtual void send(std::span<const iovec> frame) = 0;
  /// For good, and told: nothing comes any more, and what is sent is lost.
  [[nodiscard]] virtual bool gone() const = 0;
};

}  // namespace pcivm::vmm
