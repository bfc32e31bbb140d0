// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/random_source.hpp"

#include <linux/virtio_ids.h>
#include <sys/random.h>

#include <algorithm>
#include <array>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

// For one request, whatever the buffer could take: it comes back when that is not enough.
constexpr std::size_t kMostBytes = 256;

std::uint32_t fill(const VirtioChain& chain) {
  ChainWriter writer{chain};
  std::array<std::byte, kMostBytes> bytes{};
  const auto wanted = std::min<std::uint64_t>(writer.left(), bytes.size());
  // Up to 256 bytes come whole and at once, once the host's pool was ready, which is long before any VM.
  const auto got = ::getrandom(bytes.data(), wanted, 0);
  return got > 0 ? static_cast<std::uint32_t>(writer.write(std::span{bytes}.first(static_cast<std::size_t>(got)))) : 0;
}

}  // namespace

VirtioIdentity VirtioRandomSource::describe() {
  return {.name = "virtio-rng",
          .type = VIRTIO_ID_RNG,
          .pci_class = 0x00ff00,
          .features = virtio_features::kTransport | virtio_features::kInOrder,
          .queues = {64},
          .config_length = 0,
          .one_doorbell = true};
}

Result<std::unique_ptr<VirtioDevice>> VirtioRandomSource::create(EventLoop& loop, const GuestMemory& memory,
                                                                 VirtioSignals& signals) {
  std::unique_ptr<VirtioRandomSource> device{new VirtioRandomSource{memory, signals}};
  device->doorbell_ =
      TRY(loop.watch(signals.doorbell(0), Interest::read, [raw = device.get()] { raw->on_doorbell(); }));
  return device;
}

void VirtioRandomSource::on_doorbell() {
  (void)drain_eventfd(signals_.doorbell(0));
  queues_.serve(0, fill);
}

}  // namespace pcivm::vmm
