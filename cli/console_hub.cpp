// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/console_hub.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/socket.hpp"

namespace pcivm::cli {

namespace {

constexpr std::size_t kRead = 4096;
// What a pipe that poll(2) calls writable takes without blocking (pipe(7), PIPE_BUF).
constexpr std::size_t kWrite = 4096;

}  // namespace

Result<std::unique_ptr<ConsoleHub>> ConsoleHub::create(EventLoop& loop, Fd vmm, std::size_t capacity) {
  std::unique_ptr<ConsoleHub> hub{new ConsoleHub{loop, std::move(vmm), capacity}};
  hub->vmm_write_ = TRY(hub->vmm_.dup());
  hub->guest_ = TRY(loop.watch(hub->vmm_.ref(), Interest::read, [raw = hub.get()] { raw->take(); }));
  return hub;
}

ConsoleHub::Figures ConsoleHub::figures() const {
  return {.said = log_.end(), .dropped = dropped_, .readers = clients_.size(), .writer = writer_ != 0};
}

Result<void> ConsoleHub::attach(Client client, std::string_view early) {
  if (client.types && writer_ != 0) {
    return fail(Error::make(Errc::busy, "somebody types on this console already").coded("console.taken"));
  }
  if (clients_.size() >= kMostClients) {
    return fail(Error::make(Errc::busy, "this console has 16 readers already").coded("console.full"));
  }
  const auto id = next_id_++;
  auto& attached = clients_[id];
  attached.client = std::move(client);
  attached.position = log_.begin();
  if (attached.client.types) writer_ = id;
  if (auto listening = listen(id, attached); !listening) {
    if (writer_ == id) writer_ = 0;
    clients_.erase(id);
    return listening;
  }
  if (attached.client.types && !early.empty()) (void)to_guest(std::as_bytes(std::span{early}));
  pump(id);
  return {};
}

Result<void> ConsoleHub::listen(std::uint64_t id, Attached& attached) {
  auto& client = attached.client;
  if (!client.in) return {};
  if (client.types) {
    attached.input =
        TRY(vmm::ConsoleInput::create(loop_, client.in.ref(),
                                      {.deliver = [this](std::span<const std::byte> data) { return to_guest(data); },
                                       .escape = client.escape,
                                       .ended = [this, id] { on_input_end(id); }}));
    return {};
  }
  attached.readable = TRY(loop_.watch(client.in.ref(), Interest::read, [this, id] { on_other_input(id); }));
  return {};
}

std::size_t ConsoleHub::to_guest(std::span<const std::byte> data) {
  const auto written = write_some(vmm_write_.ref(), data);
  if (!written && written.error().sys_errno() != EAGAIN) return data.size();  // the VMM ends
  const auto taken = written.value_or(0);
  if (taken < data.size()) {
    auto room = loop_.watch(vmm_write_.ref(), Interest::write, [this] {
      room_ = {};
      const auto writer = clients_.find(writer_);
      if (writer != clients_.end() && writer->second.input) writer->second.input->ready();
    });
    if (room) room_ = std::move(*room);
  }
  return taken;
}

bool ConsoleHub::take() {
  std::array<std::byte, kRead> bytes{};
  const auto count = read_some(vmm_.ref(), bytes);
  if (!count && count.error().sys_errno() == EAGAIN) return false;
  if (!count || *count == 0) {
    guest_ = {};  // finish() follows when the VMM's process has ended
    return false;
  }
  log_.append(std::span{bytes}.first(*count));
  for (auto each = clients_.begin(); each != clients_.end();) pump((each++)->first);
  return true;
}

void ConsoleHub::let_go(std::uint64_t id) {
  if (writer_ == id) writer_ = 0;
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  if (behind(found->second)) dropped_ += log_.end() - found->second.position;
  clients_.erase(found);
}

// Who types no more may still read, unless it is gone.
void ConsoleHub::on_input_end(std::uint64_t id) {
  if (writer_ == id) writer_ = 0;
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  found->second.input.reset();
  if (hung_up(found->second.client.out.ref())) let_go(id);
}

void ConsoleHub::on_other_input(std::uint64_t id) {
  auto& attached = clients_.at(id);
  std::array<std::byte, kRead> ignored{};
  const auto count = read_some(attached.client.in.ref(), ignored);
  if (count ? *count != 0 : count.error().sys_errno() == EAGAIN) return;
  attached.readable = {};
  on_input_end(id);
}

void ConsoleHub::pump(std::uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second.waits || !behind(found->second)) return;
  auto& attached = found->second;
  if (!attached.file) {
    auto watch = loop_.watch(attached.client.out.ref(), Interest::write, [this, id] {
      auto& client = clients_.at(id);
      if (!write_chunk(client)) return let_go(id);
      if (behind(client)) return;
      client.waits = false;
      client.writable = {};
    });
    attached.waits = watch.has_value();
    if (watch) {
      attached.writable = std::move(*watch);
      return;
    }
    attached.file = true;
  }
  while (behind(attached)) {
    if (!write_chunk(attached)) return let_go(id);
  }
}

bool ConsoleHub::write_chunk(Attached& attached) {
  if (attached.position < log_.begin()) {
    dropped_ += log_.begin() - attached.position;
    attached.position = log_.begin();
  }
  const auto bytes = log_.from(attached.position);
  const auto written = write_some(attached.client.out.ref(), bytes.first(std::min(bytes.size(), kWrite)));
  if (!written) return written.error().sys_errno() == EAGAIN;
  attached.position += *written;
  return true;
}

void ConsoleHub::finish(std::chrono::milliseconds limit) {
  while (take()) {
  }
  guest_ = {};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (auto& [id, attached] : clients_) {
    attached.input.reset();
    attached.readable = {};
    attached.writable = {};
    while (behind(attached)) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd wanted{.fd = attached.client.out.ref().number(), .events = POLLOUT, .revents = 0};
      const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
      if (ready == 0 || (ready > 0 && !write_chunk(attached)) || (ready < 0 && errno != EINTR)) break;
    }
    if (behind(attached)) dropped_ += log_.end() - attached.position;
  }
  clients_.clear();
  writer_ = 0;
}

}  // namespace pcivm::cli
