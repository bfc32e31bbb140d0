// SPDX-License-Identifier: GPL-2.0-or-later
// Frames of a queue of a tap: the kernel copies between it and the guest's buffers.
#pragma once

#include "vmm/virtio/frame_port.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

class TapPort final : public FramePort {
 public:
  /// Both outlive it.
  TapPort(FdRef tap, VirtioSignals& signals) : tap_{tap.number()}, signals_{signals} {}

  [[nodiscard]] FdRef fd() const override { return FdRef{tap_}; }
  [[nodiscard]] std::optional<std::size_t> receive(std::span<const iovec> to, std::size_t room) override;
  [[nodiscard]] bool keeps() const override { return false; }
  [[nodiscard]] bool can_send() override { return true; }  // a tap that is full loses frames
  void send(std::span<const iovec> frame) override;
  [[nodiscard]] bool gone() const override { return gone_; }

 private:
  void failed(int error, std::string_view call);

  int tap_;
  VirtioSignals& signals_;
  bool gone_{};
};

}  // namespace pcivm::vmm
