// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/balloon.hpp"

#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/units.hpp"
#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

// Queues that no feature was negotiated for are not counted (5.5.2).
constexpr unsigned kInflate = 0;
constexpr unsigned kDeflate = 1;
constexpr unsigned kReport = 2;
// What is not in <linux/virtio_balloon.h> of the oldest kernel is not used.
constexpr std::uint32_t kConfigLength = 8;

}  // namespace

VirtioIdentity VirtioBalloon::describe() {
  using virtio_features::bit;
  return {.name = "virtio-balloon",
          .type = VIRTIO_ID_BALLOON,
          .pci_class = 0x00ff00,
          .features = virtio_features::kTransport | virtio_features::kInOrder | bit(VIRTIO_BALLOON_F_REPORTING) |
                      bit(VIRTIO_BALLOON_F_DEFLATE_ON_OOM),
          .queues = {128, 128, 64},
          .config_length = kConfigLength,
          .one_doorbell = true};
}

Result<std::unique_ptr<VirtioDevice>> VirtioBalloon::create(EventLoop& loop, const GuestMemory& memory,
                                                            VirtioSignals& signals) {
  std::unique_ptr<VirtioBalloon> device{new VirtioBalloon{memory, signals}};
  device->doorbell_ =
      TRY(loop.watch(signals.doorbell(0), Interest::read, [raw = device.get()] { raw->on_doorbell(); }));
  return device;
}

// The balloon that the host asks for is empty, and what the guest says of it is not kept.
void VirtioBalloon::read_config(std::uint32_t /*offset*/, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
}

void VirtioBalloon::on_doorbell() {
  (void)drain_eventfd(signals_.doorbell(0));
  const auto nothing = [](auto&& work) {
    return [work](const VirtioChain& chain) -> std::uint32_t {
      work(chain);
      return 0;
    };
  };
  queues_.serve(kInflate, nothing([this](const VirtioChain& chain) { inflate(chain); }));
  queues_.serve(kDeflate, nothing([](const VirtioChain&) {}));
  queues_.serve(kReport, nothing([this](const VirtioChain& chain) { take_back(chain); }));
}

// Reported pages come as buffers themselves (5.5.6.7): they are inside RAM already.
void VirtioBalloon::take_back(const VirtioChain& chain) {
  for (const auto& part : chain.writable) discard({static_cast<std::byte*>(part.iov_base), part.iov_len});
}

// Page numbers of 4 KiB, as the guest has them; those outside of RAM are nobody's.
void VirtioBalloon::inflate(const VirtioChain& chain) {
  std::uint32_t page = 0;
  for (ChainReader reader{chain}; reader.read(std::as_writable_bytes(std::span{&page, 1}));) {
    const auto bytes = memory_.window(Gpa{std::uint64_t{page} << VIRTIO_BALLOON_PFN_SHIFT}, kPageSize);
    if (bytes) discard(*bytes);
  }
}

void VirtioBalloon::discard(std::span<std::byte> bytes) {
  const auto start = align_up(std::bit_cast<std::uint64_t>(bytes.data()), kPageSize);
  const auto skipped = start - std::bit_cast<std::uint64_t>(bytes.data());
  if (skipped >= bytes.size()) return;
  const auto length = align_down(bytes.size() - skipped, kPageSize);
  if (length == 0) return;
  if (auto given = memory_.discard(bytes.subspan(skipped, length)); !given) {
    signals_.report(std::move(given).error().within("pages that the guest does not use"));
  }
}

}  // namespace pcivm::vmm
