// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/mem.hpp"

#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>

#include <algorithm>
#include <span>
#include <utility>

#include "vmm/thread_filter.hpp"
#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kRequests = 0;

}  // namespace

VirtioIdentity VirtioMem::describe() {
  using virtio_features::bit;
  return {
      .name = "virtio-mem",
      .type = VIRTIO_ID_MEM,
      .pci_class = 0x00ff00,
      .features = virtio_features::kTransport | virtio_features::kInOrder | bit(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
      .queues = {64},
      .config_length = sizeof(virtio_mem_config),
      .one_doorbell = true};
}

VirtioMem::VirtioMem(MemoryBlocks& blocks, const GuestMemory& memory, VirtioSignals& signals, Fd stop)
    : blocks_{blocks}, signals_{signals}, queues_{memory, signals, 1}, stop_{std::move(stop)} {}

Result<std::unique_ptr<VirtioMem>> VirtioMem::create(MemoryBlocks& blocks, const GuestMemory& memory,
                                                     VirtioSignals& signals) {
  auto stop = TRY(make_eventfd());
  std::unique_ptr<VirtioMem> device{new VirtioMem{blocks, memory, signals, std::move(stop)}};
  device->thread_ = std::jthread{[raw = device.get()] { raw->work(); }};
  return device;
}

VirtioMem::~VirtioMem() { signal_eventfd(stop_.ref()); }

Result<void> VirtioMem::want(std::uint64_t bytes) {
  TRY(blocks_.want(bytes));
  signals_.config_changed();
  return {};
}

void VirtioMem::read_config(std::uint32_t offset, std::span<std::byte> data) {
  virtio_mem_config config{};
  config.block_size = blocks_.block();
  config.addr = blocks_.range().gpa.value;
  config.region_size = blocks_.range().length;
  config.usable_region_size = blocks_.range().length;
  config.plugged_size = blocks_.plugged();
  config.requested_size = blocks_.wanted();
  std::ranges::copy(std::as_bytes(std::span{&config, 1}).subspan(offset, data.size()), data.begin());
}

void VirtioMem::work() {
  become(ThreadKind::memory);
  while (queues_.await(kRequests, stop_.ref())) {
    queues_.serve(kRequests, [this](const VirtioChain& chain) { return answer(chain); });
  }
}

std::uint32_t VirtioMem::answer(const VirtioChain& chain) {
  virtio_mem_req request{};
  virtio_mem_resp response{};
  ChainReader reader{chain};
  ChainWriter writer{chain};
  // Without room for its outcome nothing is carried out.
  if (!reader.read(std::as_writable_bytes(std::span{&request, 1})) || writer.left() < sizeof response) {
    signals_.report(Error::make(Errc::invalid, "a request that is too short, or without room for its outcome"));
    return 0;
  }
  response.type = VIRTIO_MEM_RESP_ERROR;
  switch (request.type) {
    case VIRTIO_MEM_REQ_PLUG: response.type = blocks_.plug(Gpa{request.u.plug.addr}, request.u.plug.nb_blocks); break;
    case VIRTIO_MEM_REQ_UNPLUG:
      response.type = blocks_.unplug(Gpa{request.u.unplug.addr}, request.u.unplug.nb_blocks);
      break;
    case VIRTIO_MEM_REQ_UNPLUG_ALL: response.type = blocks_.unplug_all(); break;
    case VIRTIO_MEM_REQ_STATE:
      if (const auto state = blocks_.state(Gpa{request.u.state.addr}, request.u.state.nb_blocks)) {
        response.type = VIRTIO_MEM_RESP_ACK;
        response.u.state.state = *state;
      }
      break;
    default: break;
  }
  (void)writer.write(std::as_bytes(std::span{&response, 1}));
  return writer.written();
}

}  // namespace pcivm::vmm
