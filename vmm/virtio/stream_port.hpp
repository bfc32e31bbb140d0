// SPDX-License-Identifier: GPL-2.0-or-later
// Frames of a process at the other end of a stream socket (passt(1)): each behind its length, 32 bits, big-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/virtio/frame_port.hpp"

namespace pcivm::vmm {

/// No offloads: the header means nothing, and is zeros of a frame that comes. A frame that is none of Ethernet's is
/// lost, for the process would end at it. One frame at most waits to be sent.
class StreamPort final : public FramePort {
 public:
  /// The longest that passt takes; its MTU has no longer ones.
  static constexpr std::size_t kLongestSent = 65535;
  static constexpr std::size_t kShortestSent = 14;  ///< Ethernet's header

  /// `stream` does not block. `lost` is called once, when the process went away, or said what makes no sense; then the
  /// socket is closed. SIGPIPE is ignored.
  StreamPort(Fd stream, std::function<void(const Error&)> lost);

  [[nodiscard]] FdRef fd() const override { return stream_.ref(); }
  [[nodiscard]] std::optional<std::size_t> receive(std::span<const iovec> to, std::size_t room) override;
  [[nodiscard]] bool keeps() const override { return true; }
  [[nodiscard]] bool can_send() override;
  void send(std::span<const iovec> frame) override;
  [[nodiscard]] bool gone() const override { return !stream_; }

 private:
  static constexpr std::size_t kPrefix = 4;
  [[nodiscard]] std::span<const std::byte> came() const { return std::span{inbox_}.subspan(first_, end_ - first_); }
  [[nodiscard]] bool fill();
  void lose(const Error& why);
  void failed(int error, std::string_view call);

  Fd stream_;
  std::function<void(const Error&)> lost_;
  std::vector<std::byte> inbox_;  // what came and was not taken: from first_ to end_
  std::size_t first_{};
  std::size_t end_{};
  std::vector<std::byte> rest_;  // of the frame that is being sent
  std::size_t sent_{};           // of it
  std::vector<iovec> parts_;
};

}  // namespace pcivm::vmm
