// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/console_port.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/socket.hpp"

namespace pcivm::vmm {

namespace {

// Chains in one go and direction, so that one port does not keep the loop to itself.
constexpr unsigned kMostAtOnce = 64;

}  // namespace

Result<std::unique_ptr<ConsolePort>> ConsolePort::create(ConsolePortConfig config, const Wiring& wiring) {
  std::unique_ptr<ConsolePort> port{new ConsolePort{std::move(config), wiring}};
  port->channel_ =
      TRY(wiring.loop.watch(port->config_.channel.ref(), Interest::read, [raw = port.get()] { raw->on_channel(); }));
  return port;
}

void ConsolePort::on_channel() {
  auto packet = receive_packet(config_.channel.ref());
  if (!packet && packet.error().sys_errno() == EAGAIN) return;
  const auto held = wiring_.queues.lock();
  if (!packet || !*packet) {
    channel_ = {};  // the supervisor is gone, and soon this process
    return;
  }
  auto& files = (**packet).files;
  if ((**packet).text == kPortClient && files.size() == 1) accept(std::move(files.front()));
  wiring_.changed();
}

void ConsolePort::accept(Fd client) {
  if (client_) return;  // the supervisor waits for kPortFree
  auto out = client.dup();
  client_ = std::move(client);
  if (!out) return lose();
  client_out_ = std::move(*out);
  ++clients_;
  move();
}

void ConsolePort::lose() {
  input_ = {};
  watched_.reset();
  watch_room(false);
  client_.close();
  client_out_.close();
  input_ended_ = output_ended_ = hung_up_ = false;
  (void)send_packet(config_.channel.ref(), kPortFree);
}

// One that is not read from is still to be seen going.
void ConsolePort::watch_input(Interest interest) {
  if (!client_ || hung_up_ || watched_ == interest) return;
  input_ = {};
  auto watch = wiring_.loop.watch(client_.ref(), interest, [this] { on_input(); });
  if (!watch) return lose();
  input_ = std::move(*watch);
  watched_ = interest;
}

void ConsolePort::watch_room(bool on) {
  if (waits_ == on) return;
  room_ = {};
  waits_ = false;
  if (!on) return;
  auto watch = wiring_.loop.watch(client_out_.ref(), Interest::write, [this] {
    const auto held = wiring_.queues.lock();
    move();
    wiring_.changed();
  });
  if (!watch) return lose();
  room_ = std::move(*watch);
  waits_ = true;
}

void ConsolePort::on_input() {
  const auto held = wiring_.queues.lock();
  if (watched_ == Interest::hang_up) {
    hung_up_ = true;
    input_ = {};  // which would tell it without end
  }
  move();
  wiring_.changed();
}

void ConsolePort::move() {
  const bool more = to_host();
  if (to_guest() || more) signal_eventfd(wiring_.signals.doorbell(wiring_.first));
  if (client_ && (hung_up_ || output_ended_) && (input_ended_ || !figures_.open)) lose();
  wiring_.queues.finish(wiring_.first);
  wiring_.queues.finish(wiring_.first + 1);
}

// True: there is more, for which others go first.
bool ConsolePort::to_host() {
  const auto queue = wiring_.first + 1;
  for (unsigned count = 0; count < kMostAtOnce; ++count) {
    if (!out_) {
      VirtioChain chain;
      if (!wiring_.queues.next(queue, chain)) {
        watch_room(false);
        return false;
      }
      parts_ = chain.readable;
      out_ = std::move(chain);
    }
    if (reads() && !write_some()) return false;
    const auto left = total_length(parts_);
    if (reads() && left != 0) continue;
    figures_.dropped += left;
    wiring_.queues.give(queue, *out_, 0);
    out_.reset();
  }
  return true;
}

// False: it takes nothing now.
bool ConsolePort::write_some() {
  const auto written = ::writev(client_.ref().number(), parts_.data(), static_cast<int>(parts_.size()));
  if (written >= 0) {
    drop_front(parts_, static_cast<std::uint64_t>(written));
    figures_.to_host += static_cast<std::uint64_t>(written);
    return true;
  }
  output_ended_ = errno != EAGAIN && errno != EINTR;
  if (errno == EAGAIN) watch_room(true);
  return !waits_;
}

bool ConsolePort::to_guest() {
  for (unsigned count = 0; count < kMostAtOnce; ++count) {
    const bool wanted = client_ && figures_.open && !input_ended_;
    if (wanted && !in_) {
      VirtioChain chain;
      if (wiring_.queues.next(wiring_.first, chain)) in_ = std::move(chain);
    }
    if (!wanted || !in_) {
      input_ended_ = input_ended_ || (hung_up_ && !said_more());
      watch_input(Interest::hang_up);
      return false;
    }
    if (!read_some()) {
      watch_input(Interest::read);
      return false;
    }
  }
  return true;
}

// Of one that is gone.
bool ConsolePort::said_more() const {
  std::byte first{};
  return ::recv(client_.ref().number(), &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

// False: there is nothing now.
bool ConsolePort::read_some() {
  ssize_t length = 0;
  if (in_->writable_bytes != 0) {
    length = ::readv(client_.ref().number(), in_->writable.data(), static_cast<int>(in_->writable.size()));
    if (length < 0 && errno == EAGAIN) return false;
    if (length < 0 && errno == EINTR) return true;
    output_ended_ = output_ended_ || length < 0;
    input_ended_ = length <= 0;
    if (input_ended_) return true;
  }
  figures_.to_guest += static_cast<std::uint64_t>(length);
  wiring_.queues.give(wiring_.first, *in_, static_cast<std::uint32_t>(length));
  in_.reset();
  return true;
}

}  // namespace pcivm::vmm
