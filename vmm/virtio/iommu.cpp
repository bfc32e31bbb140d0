// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/iommu.hpp"

#include <linux/virtio_ids.h>
#include <linux/virtio_iommu.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/units.hpp"
#include "vmm/thread_filter.hpp"
#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kRequests = 0;
constexpr std::uint32_t kBypass = VIRTIO_IOMMU_ATTACH_F_BYPASS;
constexpr std::uint32_t kProbeSize = 512;
// Interrupt messages: what a device writes there is no memory access (Intel SDM, volume 3, 11.11).
constexpr vfio::IovaRange kMessages{.first = Iova{0xfee00000}, .last = Iova{0xfeefffff}};

using Properties = std::array<std::byte, kProbeSize>;

virtio_iommu_config config_of(bool bypass) {
  return {.page_size_mask = ~(kPageSize - 1),
          .input_range = {.start = 0, .end = IommuDomains::kLastAddress},
          .domain_range = {.start = 0, .end = ~0U},
          .probe_size = kProbeSize,
          .bypass = std::uint8_t{bypass},
          .reserved = {}};
}

/// A request without its tail, which is the device's to write.
template <class Request>
bool take(const VirtioChain& chain, Request& request, std::size_t length) {
  ChainReader reader{chain};
  return reader.read(std::as_writable_bytes(std::span{&request, 1}).first(length));
}

bool empty(std::span<const std::uint8_t> reserved) {
  return std::ranges::all_of(reserved, [](auto b) { return b == 0; });
}

std::uint8_t attach(IommuDomains& domains, const VirtioChain& chain) {
  virtio_iommu_req_attach request{};
  if (!take(chain, request, offsetof(virtio_iommu_req_attach, tail)) || !empty(request.reserved) ||
      (request.flags & ~kBypass) != 0) {
    return VIRTIO_IOMMU_S_INVAL;
  }
  return domains.attach(request.domain, request.endpoint, request.flags == kBypass);
}

std::uint8_t detach(IommuDomains& domains, const VirtioChain& chain) {
  virtio_iommu_req_detach request{};
  if (!take(chain, request, offsetof(virtio_iommu_req_detach, tail)) || !empty(request.reserved))
    return VIRTIO_IOMMU_S_INVAL;
  return domains.detach(request.domain, request.endpoint);
}

std::uint8_t map(IommuDomains& domains, const VirtioChain& chain) {
  virtio_iommu_req_map request{};
  if (!take(chain, request, offsetof(virtio_iommu_req_map, tail))) return VIRTIO_IOMMU_S_INVAL;
  return domains.map(request.domain, {.first = Iova{request.virt_start}, .last = Iova{request.virt_end}},
                     Gpa{request.phys_start}, request.flags);
}

std::uint8_t unmap(IommuDomains& domains, const VirtioChain& chain) {
  virtio_iommu_req_unmap request{};
  if (!take(chain, request, offsetof(virtio_iommu_req_unmap, tail)) || !empty(request.reserved))
    return VIRTIO_IOMMU_S_INVAL;
  return domains.unmap(request.domain, {.first = Iova{request.virt_start}, .last = Iova{request.virt_end}});
}

/// Interrupt messages first, then what the host's IOMMU keeps, as much of it as there is room for.
void describe_reserved(std::vector<vfio::IovaRange> ranges, Properties& properties) {
  std::erase_if(ranges, [](const auto& each) { return kMessages.first <= each.last && each.first <= kMessages.last; });
  ranges.insert(ranges.begin(), kMessages);
  std::size_t at = 0;
  for (const auto& range : ranges) {
    virtio_iommu_probe_resv_mem property{};
    if (at + sizeof property > properties.size()) return;
    property.head = {.type = VIRTIO_IOMMU_PROBE_T_RESV_MEM, .length = sizeof property - sizeof property.head};
    property.subtype = range == kMessages ? VIRTIO_IOMMU_RESV_MEM_T_MSI : VIRTIO_IOMMU_RESV_MEM_T_RESERVED;
    property.start = range.first.value;
    property.end = range.last.value;
    std::ranges::copy(std::as_bytes(std::span{&property, 1}), properties.begin() + static_cast<std::ptrdiff_t>(at));
    at += sizeof property;
  }
}

std::uint8_t probe(const IommuDomains& domains, const VirtioChain& chain, Properties& properties) {
  virtio_iommu_req_probe request{};
  if (!take(chain, request, sizeof request) || !empty(request.reserved)) return VIRTIO_IOMMU_S_INVAL;
  auto reserved = domains.reserved(request.endpoint);
  if (!reserved) return VIRTIO_IOMMU_S_NOENT;
  describe_reserved(std::move(*reserved), properties);
  return VIRTIO_IOMMU_S_OK;
}

}  // namespace

VirtioIdentity VirtioIommu::describe() {
  using virtio_features::bit;
  return {.name = "virtio-iommu",
          .type = VIRTIO_ID_IOMMU,
          .pci_class = 0x080600,  // base system peripheral, IOMMU
          .features = virtio_features::kTransport | virtio_features::kInOrder | bit(VIRTIO_IOMMU_F_INPUT_RANGE) |
                      bit(VIRTIO_IOMMU_F_DOMAIN_RANGE) | bit(VIRTIO_IOMMU_F_MAP_UNMAP) | bit(VIRTIO_IOMMU_F_PROBE) |
                      bit(VIRTIO_IOMMU_F_BYPASS_CONFIG),
          .queues = {256, 64},
          .config_length = sizeof(virtio_iommu_config),
          .one_doorbell = true};
}

VirtioIommu::VirtioIommu(IommuDomains& domains, const GuestMemory& memory, VirtioSignals& signals, Fd stop)
    : domains_{domains}, signals_{signals}, queues_{memory, signals, 2}, stop_{std::move(stop)} {}

Result<std::unique_ptr<VirtioDevice>> VirtioIommu::create(IommuDomains& domains, const GuestMemory& memory,
                                                          VirtioSignals& signals) {
  auto stop = TRY(make_eventfd());
  std::unique_ptr<VirtioIommu> device{new VirtioIommu{domains, memory, signals, std::move(stop)}};
  device->thread_ = std::jthread{[raw = device.get()] { raw->work(); }};
  return device;
}

VirtioIommu::~VirtioIommu() { signal_eventfd(stop_.ref()); }

void VirtioIommu::read_config(std::uint32_t offset, std::span<std::byte> data) {
  const auto config = config_of(domains_.bypass());
  std::ranges::copy(std::as_bytes(std::span{&config, 1}).subspan(offset, data.size()), data.begin());
}

void VirtioIommu::write_config(std::uint32_t offset, std::span<const std::byte> data) {
  if (offset != offsetof(virtio_iommu_config, bypass) || data.size() != 1 || data.front() > std::byte{1}) return;
  domains_.set_bypass(data.front() != std::byte{0});
}

void VirtioIommu::work() {
  become(ThreadKind::iommu);
  while (queues_.await(kRequests, stop_.ref())) {
    queues_.serve(kRequests, [this](const VirtioChain& chain) { return answer(chain); });
  }
}

std::uint32_t VirtioIommu::answer(const VirtioChain& chain) {
  virtio_iommu_req_tail tail{};
  Properties properties{};
  virtio_iommu_req_head head{};
  (void)take(chain, head, sizeof head);  // else it is of type 0, which is none
  const bool probes = head.type == VIRTIO_IOMMU_T_PROBE;
  ChainWriter writer{chain};
  // Without room for its outcome nothing is carried out.
  if (writer.left() < sizeof tail + (probes ? properties.size() : 0)) {
    signals_.report(Error::make(Errc::invalid, "a request without room for its outcome"));
    return 0;
  }
  switch (head.type) {
    case VIRTIO_IOMMU_T_ATTACH: tail.status = attach(domains_, chain); break;
    case VIRTIO_IOMMU_T_DETACH: tail.status = detach(domains_, chain); break;
    case VIRTIO_IOMMU_T_MAP: tail.status = map(domains_, chain); break;
    case VIRTIO_IOMMU_T_UNMAP: tail.status = unmap(domains_, chain); break;
    case VIRTIO_IOMMU_T_PROBE: tail.status = probe(domains_, chain, properties); break;
    default: tail.status = VIRTIO_IOMMU_S_UNSUPP; break;
  }
  if (probes) (void)writer.write(properties);
  (void)writer.write(std::as_bytes(std::span{&tail, 1}));
  return writer.written();
}

}  // namespace pcivm::vmm
