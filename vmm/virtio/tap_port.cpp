// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/tap_port.hpp"

#include <cerrno>
#include <string>
#include <utility>

#include "vmm/virtio/net_uapi.hpp"

namespace pcivm::vmm {

std::optional<std::size_t> TapPort::receive(std::span<const iovec> to, std::size_t /*room*/) {
  for (;;) {
    const auto length = ::readv(tap_, to.data(), static_cast<int>(to.size()));
    if (length >= static_cast<ssize_t>(net_uapi::kHeader)) return static_cast<std::size_t>(length);
    if (length >= 0 || errno == EINTR) continue;
    failed(errno, "read");
    return std::nullopt;
  }
}

// The kernel checks what the header says.
void TapPort::send(std::span<const iovec> frame) {
  if (::writev(tap_, frame.data(), static_cast<int>(frame.size())) < 0) failed(errno, "write");
}

// An interface that is down, or full, loses frames; one that is gone is told once.
void TapPort::failed(int error, std::string_view call) {
  if (error != EBADFD && error != ENODEV) return;
  if (!std::exchange(gone_, true)) {
    signals_.report(Error::from_errno(error, std::string{call} + " on the tap, which is gone"));
  }
}

}  // namespace pcivm::vmm
