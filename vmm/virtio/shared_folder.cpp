// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/shared_folder.hpp"

#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kQueueSize = 128;
constexpr unsigned kQueues = 2;  // what must not wait (FORGET), and requests

}  // namespace

VirtioIdentity VirtioSharedFolder::describe() {
  return {.name = "virtio-fs",
          .type = VIRTIO_ID_FS,
          .pci_class = 0x018000,
          .features = virtio_features::kTransport,
          .queues = {kQueueSize, kQueueSize},
          .config_length = sizeof(virtio_fs_config),
          .one_doorbell = false};
}

VirtioSharedFolder::VirtioSharedFolder(const SharedFolderConfig& config, std::unique_ptr<VhostUser> daemon,
                                       VirtioSignals& signals)
    : daemon_{std::move(daemon)}, signals_{signals} {
  // The reset of a queue is ours, all else the daemon's.
  identity_.features &= daemon_->features() | virtio_features::bit(VIRTIO_F_RING_RESET);
  virtio_fs_config registers{};
  static_assert(sizeof registers == sizeof registers_);
  std::ranges::copy(config.tag, registers.tag);
  registers.num_request_queues = kQueues - 1;
  std::memcpy(registers_.data(), &registers, sizeof registers);
}

Result<std::unique_ptr<VirtioDevice>> VirtioSharedFolder::create(SharedFolderConfig config, EventLoop& loop,
                                                                 const GuestMemory& memory, VirtioSignals& signals) {
  auto daemon = TRY_IN(VhostUser::adopt(std::move(config.daemon), memory), "'" + config.tag + "'");
  std::unique_ptr<VirtioSharedFolder> device{new VirtioSharedFolder{config, std::move(daemon), signals}};
  device->relay_ = TRY(InterruptRelay::create(loop, signals, kQueues));
  device->socket_ =
      TRY(loop.watch(device->daemon_->socket(), Interest::read, [raw = device.get()] { raw->on_socket(); }));
  return device;
}

// Nothing comes without having been asked for.
void VirtioSharedFolder::on_socket() {
  const auto loss = daemon_->loss();
  if (!loss) return;
  tell(*loss);
  socket_ = Watch{};
}

void VirtioSharedFolder::tell(const Error& loss) {
  if (!told_.exchange(true)) signals_.broken(loss);
}

void VirtioSharedFolder::read_config(std::uint32_t offset, std::span<std::byte> data) {
  std::ranges::copy(std::span{registers_}.subspan(offset, data.size()), data.begin());
}

Result<void> VirtioSharedFolder::start_queue(unsigned queue, const VirtioQueueSetup& setup, std::uint64_t features) {
  if (started_ == 0) TRY(daemon_->configure(features));
  TRY(daemon_->start_queue(queue, setup, signals_.doorbell(queue), relay_->event(queue)));
  started_ |= 1U << queue;
  // What was made available before is looked at.
  signal_eventfd(signals_.doorbell(queue));
  return {};
}

void VirtioSharedFolder::stop_queue(unsigned queue) {
  if ((started_ & 1U << queue) == 0) return;
  started_ &= ~(1U << queue);
  if (auto stopped = daemon_->stop_queue(queue); !stopped) tell(stopped.error());
}

}  // namespace pcivm::vmm
