// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/vsock.hpp"

#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kQueueSize = 128;
constexpr std::uint16_t kEventSize = 16;
constexpr unsigned kDataQueues = 2;  // from the host, to the host
constexpr unsigned kEvents = 2;
constexpr unsigned kBoth = (1U << kDataQueues) - 1;

}  // namespace

Result<VsockConfig> open_vsock(const SysRoot& root, IoctlPort& port, std::uint32_t cid) {
  auto device = root.open_file("/dev/vhost-vsock", O_RDWR);
  if (!device) {
    auto error = std::move(device).error();
    if (error.sys_errno() == ENODEV) error = std::move(error).as(Errc::not_found);
    if (error.kind() == Errc::not_found) error = std::move(error).coded("vsock.not_found").advise("modprobe vhost_vsock");
    return fail(std::move(error));
  }
  auto taken = set_vsock_cid(port, device->ref(), cid);
  if (!taken) {
    auto error = std::move(taken).error().within(fmt::format("cid {}", cid));
    if (error.sys_errno() != EADDRINUSE) return fail(std::move(error));
    return fail(std::move(error).as(Errc::busy).coded("vsock.in_use").advise(
        "another VM has this address: see pcivm vm list, or choose another cid"));
  }
  return VsockConfig{.vhost = std::move(*device), .cid = cid};
}

VirtioIdentity VirtioVsock::describe() {
  return {.name = "virtio-vsock",
          .type = VIRTIO_ID_VSOCK,
          .pci_class = 0x078000,
          .features = virtio_features::kTransport | virtio_features::bit(VIRTIO_VSOCK_F_SEQPACKET),
          .queues = {kQueueSize, kQueueSize, kEventSize},
          .config_length = sizeof(virtio_vsock_config),
          .one_doorbell = false};
}

VirtioVsock::VirtioVsock(std::uint64_t cid, Vhost vhost, const GuestMemory& memory, VirtioSignals& signals)
    : cid_{cid}, vhost_{std::move(vhost)}, signals_{signals}, events_{memory, signals, 1, kEvents} {
  // The reset of a queue is ours, all else the kernel's.
  identity_.features &= vhost_.features() | virtio_features::bit(VIRTIO_F_RING_RESET);
}

Result<std::unique_ptr<VirtioDevice>> VirtioVsock::create(VsockConfig config, IoctlPort& port, EventLoop& loop,
                                                          const GuestMemory& memory, VirtioSignals& signals) {
  auto vhost = TRY_IN(Vhost::adopt(port, std::move(config.vhost), memory), "vhost-vsock");
  std::unique_ptr<VirtioVsock> device{new VirtioVsock{config.cid, std::move(vhost), memory, signals}};
  device->relay_ = TRY(InterruptRelay::create(loop, signals, kDataQueues));
  return device;
}

void VirtioVsock::read_config(std::uint32_t offset, std::span<std::byte> data) {
  const auto bytes = std::as_bytes(std::span{&cid_, 1});
  std::ranges::copy(bytes.subspan(offset, data.size()), data.begin());
}

Result<void> VirtioVsock::start_queue(unsigned queue, const VirtioQueueSetup& setup, std::uint64_t features) {
  if (queue == kEvents) return events_.start(0, setup, features);
  if (started_ == 0) TRY(vhost_.configure(features));
  TRY(vhost_.set_queue(queue, setup, signals_.doorbell(queue), relay_->event(queue)));
  started_ |= 1U << queue;
  return started_ == kBoth ? run() : Result<void>{};
}

// The kernel wants both queues; what was made available before is looked at.
Result<void> VirtioVsock::run() {
  TRY(vhost_.run_vsock(true));
  for (unsigned queue = 0; queue < kDataQueues; ++queue) signal_eventfd(signals_.doorbell(queue));
  return {};
}

void VirtioVsock::stop_queue(unsigned queue) {
  if (queue == kEvents) {
    events_.stop(0);
    return;
  }
  if (started_ == kBoth) {
    if (auto stopped = vhost_.run_vsock(false); !stopped) signals_.report(stopped.error());
  }
  started_ &= ~(1U << queue);
}

}  // namespace pcivm::vmm
