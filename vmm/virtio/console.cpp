// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/console.hpp"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kInput = 0;
constexpr unsigned kOutput = 1;
constexpr unsigned kControlInput = 2;
constexpr unsigned kControlOutput = 3;
constexpr unsigned kFirstPort = 4;  // of the queues: two a port
constexpr std::uint16_t kQueueSize = 64;
constexpr std::uint32_t kEmergency = offsetof(virtio_console_config, emerg_wr);

// Messages that a port may be due, in the order in which they go.
enum Due : unsigned { kAdd = 1, kConsole = 2, kName = 4, kSize = 8 };

std::uint16_t event_of(unsigned due) {
  switch (due) {
    case kAdd: return VIRTIO_CONSOLE_PORT_ADD;
    case kConsole: return VIRTIO_CONSOLE_CONSOLE_PORT;
    case kName: return VIRTIO_CONSOLE_PORT_NAME;
    default: return VIRTIO_CONSOLE_RESIZE;
  }
}

}  // namespace

VirtioIdentity VirtioConsole::describe(const ConsoleConfig& config) {
  using virtio_features::bit;
  return {.name = "virtio-console",
          .type = VIRTIO_ID_CONSOLE,
          .pci_class = 0x078000,
          .features = virtio_features::kTransport | virtio_features::kInOrder | bit(VIRTIO_CONSOLE_F_SIZE) |
                      bit(VIRTIO_CONSOLE_F_MULTIPORT) | bit(VIRTIO_CONSOLE_F_EMERG_WRITE),
          .queues = std::vector<std::uint16_t>(kFirstPort + 2 * config.ports.size(), kQueueSize),
          .config_length = sizeof(virtio_console_config),
          .one_doorbell = true};
}

VirtioConsole::VirtioConsole(ConsoleConfig config, const GuestMemory& memory, VirtioSignals& signals,
                             Callbacks callbacks)
    : terminal_{config.terminal},
      identity_{describe(config)},
      signals_{signals},
      queues_{memory, signals, static_cast<unsigned>(identity_.queues.size())},
      callbacks_{std::move(callbacks)},
      told_(1 + config.ports.size()) {
  registers_.max_nr_ports = static_cast<std::uint32_t>(told_.size());
}

Result<std::unique_ptr<VirtioConsole>> VirtioConsole::create(ConsoleConfig config, EventLoop& loop,
                                                             const GuestMemory& memory, VirtioSignals& signals,
                                                             Callbacks callbacks) {
  auto ports = std::move(config.ports);
  config.ports.clear();
  config.ports.resize(ports.size());  // their number
  std::unique_ptr<VirtioConsole> device{new VirtioConsole{std::move(config), memory, signals, std::move(callbacks)}};
  TRY(device->build(loop, std::move(ports)));
  return device;
}

Result<void> VirtioConsole::build(EventLoop& loop, std::vector<ConsolePortConfig> ports) {
  for (auto& port : ports) {
    ports_.push_back(
        TRY(ConsolePort::create(std::move(port), {.loop = loop,
                                                  .queues = queues_,
                                                  .signals = signals_,
                                                  .first = kFirstPort + 2 * static_cast<unsigned>(ports_.size()),
                                                  .changed = [this] { tell(); }})));
  }
  doorbell_ = TRY(loop.watch(signals_.doorbell(0), Interest::read, [this] { on_doorbell(); }));
  return {};
}

void VirtioConsole::read_config(std::uint32_t offset, std::span<std::byte> data) {
  const auto held = queues_.lock();
  std::ranges::copy(std::as_bytes(std::span{&registers_, 1}).subspan(offset, data.size()), data.begin());
}

// A character at a time, without any queue: for a kernel that is in trouble (5.3.4).
void VirtioConsole::write_config(std::uint32_t offset, std::span<const std::byte> data) {
  if (offset == kEmergency && terminal_) callbacks_.output(data.first(1));
}

Result<void> VirtioConsole::start_queue(unsigned queue, const VirtioQueueSetup& setup, std::uint64_t features) {
  {
    const auto held = queues_.lock();
    multiport_ = virtio_features::has(features, VIRTIO_CONSOLE_F_MULTIPORT);
  }
  return queues_.start(queue, setup, features);
}

void VirtioConsole::stop_queue(unsigned queue) {
  queues_.stop(queue);
  if (queue < kFirstPort) return;
  const auto held = queues_.lock();
  ports_[(queue - kFirstPort) / 2]->forget(queue % 2 == 0);
}

void VirtioConsole::reset() {
  const auto held = queues_.lock();
  multiport_ = false;
  std::ranges::fill(told_, Told{});
  for (const auto& port : ports_) port->set_open(false);
}

void VirtioConsole::on_doorbell() {
  (void)drain_eventfd(signals_.doorbell(0));
  queues_.serve(kOutput, [this](const VirtioChain& chain) { return say(chain); });
  queues_.serve(kControlOutput, [this](const VirtioChain& chain) {
    hear(chain);
    return 0U;
  });
  {
    const auto held = queues_.lock();
    for (const auto& port : ports_) port->move();
    tell();
  }
  callbacks_.can_receive();
}

// In pieces, because a guest chooses how much it says at once.
std::uint32_t VirtioConsole::say(const VirtioChain& chain) const {
  std::array<std::byte, 1024> piece{};
  for (ChainReader reader{chain}; terminal_ && reader.left() != 0;) {
    const auto part = std::span{piece}.first(std::min<std::uint64_t>(reader.left(), piece.size()));
    if (!reader.read(part)) break;
    callbacks_.output(part);
  }
  return 0;
}

// What a driver says about a port that there is not, or in words that nobody knows, is no breach (5.3.6.2).
void VirtioConsole::hear(const VirtioChain& chain) {
  Message message{};
  if (!ChainReader{chain}.read(std::as_writable_bytes(std::span{&message, 1}))) return;
  const bool yes = message.value != 0;
  if (message.event == VIRTIO_CONSOLE_DEVICE_READY && yes) {
    for (std::uint32_t id = 0; id < told_.size(); ++id) told_[id].due |= exists(id) ? kAdd : 0U;
    return;
  }
  if (!exists(message.id)) return;
  auto& port = told_[message.id];
  if (message.event == VIRTIO_CONSOLE_PORT_READY && yes) {
    port.ready = true;
    port.due |= message.id == 0 ? kConsole | (registers_.cols != 0 ? kSize : 0U) : kName;
    port.client = 0;
  }
  if (message.event == VIRTIO_CONSOLE_PORT_OPEN) {
    port.open = yes;
    if (message.id != 0) ports_[message.id - 1]->set_open(yes);
  }
}

// As far as the driver gives buffers; what is due is kept once, however often it became so.
void VirtioConsole::tell() {
  for (std::uint32_t id = 0; id < told_.size(); ++id) {
    while (const auto message = due(id)) {
      VirtioChain chain;
      if (!queues_.next(kControlInput, chain)) return queues_.finish(kControlInput);
      if (chain.writable_bytes < sizeof(Message)) {
        queues_.refuse(kControlInput, Error::make(Errc::invalid, "a buffer without room for a message"));
        return;
      }
      write(*message, chain);
      note_told(*message);
    }
  }
  queues_.finish(kControlInput);
}

// The console is open as long as there is a host; a port when it has a client. Between two clients it was closed.
std::optional<VirtioConsole::Message> VirtioConsole::due(std::uint32_t id) const {
  const auto& port = told_[id];
  if (port.due != 0) {
    return Message{.id = id, .event = event_of(1U << std::countr_zero(port.due)), .value = 1};
  }
  const auto client = id == 0 ? 1 : ports_[id - 1]->client();
  if (!port.ready || port.client == client) return std::nullopt;
  return Message{.id = id, .event = VIRTIO_CONSOLE_PORT_OPEN, .value = static_cast<std::uint16_t>(port.client == 0)};
}

void VirtioConsole::write(const Message& message, const VirtioChain& chain) {
  ChainWriter writer{chain};
  (void)writer.write(std::as_bytes(std::span{&message, 1}));
  if (message.event == VIRTIO_CONSOLE_PORT_NAME) {
    (void)writer.write(std::as_bytes(std::span{ports_[message.id - 1]->name()}));
  }
  if (message.event == VIRTIO_CONSOLE_RESIZE) {
    (void)writer.write(std::as_bytes(std::span{&registers_, 1}).first(offsetof(virtio_console_config, max_nr_ports)));
  }
  queues_.give(kControlInput, chain, writer.written());
}

void VirtioConsole::note_told(const Message& message) {
  auto& port = told_[message.id];
  if (message.event != VIRTIO_CONSOLE_PORT_OPEN) {
    port.due &= port.due - 1;
  } else if (message.value == 0) {
    port.client = 0;
  } else {
    port.client = message.id == 0 ? 1 : ports_[message.id - 1]->client();
  }
}

bool VirtioConsole::open() {
  const auto held = queues_.lock();
  return terminal_ && console_open();
}

std::size_t VirtioConsole::receive(std::span<const std::byte> data) {
  const auto held = queues_.lock();
  std::size_t taken = 0;
  VirtioChain chain;
  while (terminal_ && console_open() && taken < data.size() && queues_.next(kInput, chain)) {
    ChainWriter writer{chain};
    taken += writer.write(data.subspan(taken));
    queues_.give(kInput, chain, writer.written());
  }
  queues_.finish(kInput);
  return taken;
}

void VirtioConsole::resize(std::uint16_t columns, std::uint16_t rows) {
  const auto held = queues_.lock();
  registers_.cols = columns;
  registers_.rows = rows;
  if (told_[0].ready) told_[0].due |= kSize;
  if (multiport_) return tell();
  signals_.config_changed();
}

std::vector<PortFigures> VirtioConsole::ports() {
  const auto held = queues_.lock();
  std::vector<PortFigures> figures;
  for (const auto& port : ports_) figures.push_back(port->figures());
  return figures;
}

}  // namespace pcivm::vmm
