// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/net.hpp"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "vmm/virtio/features.hpp"
#include "vmm/virtio/net_uapi.hpp"
#include "vmm/virtio/net_user_pair.hpp"
#include "vmm/virtio/net_vhost_pair.hpp"
#include "vmm/virtio/stream_port.hpp"
#include "vmm/virtio/tap.hpp"
#include "vmm/virtio/tap_port.hpp"

namespace pcivm::vmm {

namespace {

using virtio_features::bit;
using virtio_features::has;

constexpr std::uint16_t kQueueSize = 256;
constexpr std::uint16_t kControlSize = 64;
constexpr std::uint64_t kOffloads = bit(net_uapi::kCsum) | bit(net_uapi::kHostTso4) | bit(net_uapi::kHostTso6) |
                                    bit(net_uapi::kHostEcn) | bit(net_uapi::kGuestCsum) | bit(net_uapi::kGuestTso4) |
                                    bit(net_uapi::kGuestTso6) | bit(net_uapi::kGuestEcn);

unsigned pairs_of(const NetConfig& config) { return config.stream ? 1 : static_cast<unsigned>(config.taps.size()); }

}  // namespace

VirtioIdentity VirtioNet::describe(const NetConfig& config) {
  const auto pairs = pairs_of(config);
  const bool in_kernel = !config.vhosts.empty();
  const bool several = pairs > 1;
  VirtioIdentity identity{.name = "virtio-net",
                          .type = VIRTIO_ID_NET,
                          .pci_class = 0x020000,
                          .features = virtio_features::kTransport | bit(net_uapi::kMac) | bit(net_uapi::kStatus) |
                                      bit(net_uapi::kMergeableBuffers) | (config.stream ? 0 : kOffloads) |
                                      (several ? bit(net_uapi::kControlQueue) | bit(net_uapi::kMultiQueue) : 0) |
                                      (in_kernel ? 0 : virtio_features::kInOrder) |
                                      (config.packed ? virtio_features::kPacked : 0),
                          .queues = std::vector<std::uint16_t>(std::size_t{2} * pairs, kQueueSize),
                          .config_length = net_uapi::kConfigLength,
                          .one_doorbell = false};
  if (several) identity.queues.push_back(kControlSize);
  return identity;
}

VirtioNet::VirtioNet(NetConfig config, const Wiring& wiring)
    : config_{std::move(config)},
      identity_{describe(config_)},
      port_{wiring.port},
      loop_{wiring.loop},
      memory_{wiring.memory},
      signals_{wiring.signals},
      pairs_(pairs_of(config_)),
      control_{wiring.memory, wiring.signals, 1, 2 * pairs_of(config_)} {
  std::ranges::copy(config_.mac.octets, registers_.mac);
  registers_.status = net_uapi::kLinkUp;
  registers_.most_pairs = static_cast<std::uint16_t>(pairs_of(config_));
}

Result<std::unique_ptr<VirtioDevice>> VirtioNet::create(NetConfig config, const Wiring& wiring) {
  auto vhosts = std::exchange(config.vhosts, {});
  const bool in_kernel = !vhosts.empty();
  std::unique_ptr<VirtioNet> device{new VirtioNet{std::move(config), wiring}};
  if (in_kernel) device->identity_.features &= ~virtio_features::kInOrder;
  TRY(device->build(std::move(vhosts)));
  return device;
}

Result<void> VirtioNet::build(std::vector<Fd> vhosts) {
  for (unsigned index = 0; index < pairs_.size(); ++index) {
    auto& pair = pairs_[index];
    // Beside vhost it is for drivers without MSI-X, which are those of firmware.
    const bool in_kernel = index < vhosts.size();
    pair.user =
        TRY(NetUserPair::create(make_port(index), 2 * index, memory_, signals_,
                                in_kernel ? [](std::string&) { return make_plain_engine(); } : &IoEngine::create));
    if (!in_kernel) continue;
    auto vhost = TRY_IN(Vhost::adopt(port_, std::move(vhosts[index]), memory_), "vhost-net");
    pair.vhost = std::make_unique<NetVhostPair>(std::move(vhost), config_.taps[index].ref(), 2 * index, signals_);
  }
  if (pairs_.size() > 1) {
    const auto queue = static_cast<unsigned>(2 * pairs_.size());
    doorbell_ = TRY(loop_.watch(signals_.doorbell(queue), Interest::read, [this, queue] {
      (void)drain_eventfd(signals_.doorbell(queue));
      control_.serve(0, [this](const VirtioChain& chain) { return control(chain); });
    }));
  }
  return {};
}

std::unique_ptr<FramePort> VirtioNet::make_port(unsigned pair) {
  if (!config_.stream) return std::make_unique<TapPort>(config_.taps[pair].ref(), signals_);
  return std::make_unique<StreamPort>(std::move(config_.stream), [this](const Error& why) { lose_link(why); });
}

// On the pair's thread.
void VirtioNet::lose_link(const Error& why) {
  link_ = false;
  signals_.report(Error{why}.within("the link is down for good"));
  signals_.config_changed();
}

void VirtioNet::read_config(std::uint32_t offset, std::span<std::byte> data) {
  auto registers = registers_;
  if (!link_) registers.status = 0;
  const auto bytes = std::as_bytes(std::span{&registers, 1});
  std::ranges::copy(bytes.subspan(offset, data.size()), data.begin());
}

bool VirtioNet::can_use_vhost(unsigned pair) const {
  return pairs_[pair].vhost != nullptr && signals_.interrupt_event(2 * pair) && signals_.interrupt_event(2 * pair + 1);
}

Result<void> VirtioNet::start_queue(unsigned queue, const VirtioQueueSetup& setup, std::uint64_t features) {
  if (queue == 2 * pairs_.size()) return control_.start(0, setup, features);
  const auto index = queue / 2;
  auto& pair = pairs_[index];
  if (index == 0 && pair.running == nullptr && !config_.taps.empty())
    TRY(set_tap_offloads(port_, config_.taps[0].ref(), features));
  if (pair.running == nullptr) pair.running = can_use_vhost(index) ? pair.vhost.get() : pair.user.get();
  TRY(pair.running->start(static_cast<NetQueue>(queue % 2), setup, features));
  pair.started |= 1U << queue % 2;
  return {};
}

void VirtioNet::stop_queue(unsigned queue) {
  if (queue == 2 * pairs_.size()) {
    control_.stop(0);
    return;
  }
  auto& pair = pairs_[queue / 2];
  if (pair.running == nullptr) return;
  pair.running->stop(static_cast<NetQueue>(queue % 2));
  pair.started &= ~(1U << queue % 2);
  if (pair.started == 0) pair.running = nullptr;
}

// The host spreads frames over the queues that are attached, so only those that the driver serves may be.
void VirtioNet::reset() {
  if (pairs_.size() > 1) (void)set_pairs(1);
}

bool VirtioNet::set_pairs(unsigned count) {
  if (count == 0 || count > pairs_.size()) return false;
  for (unsigned index = 1; index < pairs_.size(); ++index) {
    if (auto used = use_tap_queue(port_, config_.taps[index].ref(), index < count); !used) {
      signals_.report(used.error());
      return false;
    }
  }
  return true;
}

// The one command there is: how many pairs are used (5.1.6.5.5).
std::uint32_t VirtioNet::control(const VirtioChain& chain) {
  struct {
    std::uint8_t group;
    std::uint8_t command;
    std::uint16_t pairs;
  } request{};
  ChainReader reader{chain};
  const bool known = reader.read(std::as_writable_bytes(std::span{&request, 1})) &&
                     request.group == net_uapi::kClassMultiQueue && request.command == net_uapi::kSetPairs;
  const std::uint8_t answer = known && set_pairs(request.pairs) ? net_uapi::kOk : net_uapi::kError;
  ChainWriter writer{chain};
  (void)writer.write(std::as_bytes(std::span{&answer, 1}));
  return writer.written();
}

}  // namespace pcivm::vmm
