// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/console.hpp"

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kInput = 0;
constexpr unsigned kOutput = 1;
constexpr std::uint32_t kEmergency = offsetof(virtio_console_config, emerg_wr);

}  // namespace

VirtioIdentity VirtioConsole::describe() {
  return {.name = "virtio-console",
          .type = VIRTIO_ID_CONSOLE,
          .pci_class = 0x078000,
          .features = virtio_features::kTransport | virtio_features::kInOrder |
                      virtio_features::bit(VIRTIO_CONSOLE_F_EMERG_WRITE),
          .queues = {64, 64},
          .config_length = sizeof(virtio_console_config),
          .one_doorbell = true};
}

Result<std::unique_ptr<VirtioConsole>> VirtioConsole::create(EventLoop& loop, const GuestMemory& memory,
                                                             VirtioSignals& signals, Callbacks callbacks) {
  std::unique_ptr<VirtioConsole> device{new VirtioConsole{memory, signals, std::move(callbacks)}};
  device->doorbell_ =
      TRY(loop.watch(signals.doorbell(0), Interest::read, [raw = device.get()] { raw->on_doorbell(); }));
  return device;
}

void VirtioConsole::read_config(std::uint32_t /*offset*/, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
}

// A character at a time, without any queue: for a kernel that is in trouble (5.3.4).
void VirtioConsole::write_config(std::uint32_t offset, std::span<const std::byte> data) {
  if (offset == kEmergency) callbacks_.output(data.first(1));
}

void VirtioConsole::on_doorbell() {
  (void)drain_eventfd(signals_.doorbell(0));
  queues_.serve(kOutput, [this](const VirtioChain& chain) { return say(chain); });
  callbacks_.can_receive();
}

// In pieces, because a guest chooses how much it says at once.
std::uint32_t VirtioConsole::say(const VirtioChain& chain) const {
  std::array<std::byte, 1024> piece{};
  for (ChainReader reader{chain}; reader.left() != 0;) {
    const auto part = std::span{piece}.first(std::min<std::uint64_t>(reader.left(), piece.size()));
    if (!reader.read(part)) break;
    callbacks_.output(part);
  }
  return 0;
}

std::size_t VirtioConsole::receive(std::span<const std::byte> data) {
  const auto held = queues_.lock();
  std::size_t taken = 0;
  VirtioChain chain;
  while (taken < data.size() &&
         (queues_.take(kInput, chain) || (queues_.rest(kInput) && queues_.take(kInput, chain)))) {
    ChainWriter writer{chain};
    taken += writer.write(data.subspan(taken));
    queues_.give(kInput, chain, writer.written());
  }
  queues_.finish(kInput);
  return taken;
}

}  // namespace pcivm::vmm
