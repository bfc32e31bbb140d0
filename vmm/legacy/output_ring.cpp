// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/output_ring.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.hpp"

namespace pcivm::vmm {

namespace {

// What a pipe that poll(2) calls writable takes without blocking (pipe(7), PIPE_BUF).
constexpr std::size_t kChunk = 4096;

}  // namespace

Result<std::unique_ptr<OutputRing>> OutputRing::create(EventLoop& loop, FdRef out, std::size_t capacity) {
  if (capacity == 0) return fail(Errc::invalid, "output ring of 0 bytes, wanted at least 1");
  auto wake = TRY(make_eventfd());
  auto ring = std::unique_ptr<OutputRing>{new OutputRing{loop, out, std::move(wake), capacity}};
  ring->woken_ = TRY(loop.watch(ring->wake_.ref(), Interest::read, [raw = ring.get()] { raw->on_wake(); }));
  return ring;
}

void OutputRing::push(std::span<const std::byte> data) {
  bool first{};
  {
    const std::scoped_lock lock{mutex_};
    const auto taken = broken_ ? 0 : std::min(data.size(), ring_.size() - used_);
    dropped_ += data.size() - taken;
    first = used_ == 0 && taken != 0;
    for (const auto byte : data.first(taken)) ring_[(start_ + used_++) % ring_.size()] = byte;
  }
  if (first) signal_eventfd(wake_.ref());  // later bytes find the loop at work already
}

std::uint64_t OutputRing::dropped() const {
  const std::scoped_lock lock{mutex_};
  return dropped_;
}

std::vector<std::byte> OutputRing::front() const {
  const std::scoped_lock lock{mutex_};
  std::vector<std::byte> bytes(std::min(used_, kChunk));
  for (std::size_t index = 0; index < bytes.size(); ++index) bytes[index] = ring_[(start_ + index) % ring_.size()];
  return bytes;
}

// The write is made without lock: only this thread takes bytes out, so they stay at the front meanwhile.
OutputRing::Drained OutputRing::write_chunk() {
  const auto bytes = front();
  if (bytes.empty()) return Drained::empty;
  const auto written = write_some(FdRef{out_}, bytes);
  const std::scoped_lock lock{mutex_};
  if (!written) {
    if (written.error().sys_errno() == EAGAIN) return Drained::would_block;
    log::debug("console output: {}, dropping it from now on", written.error().text());
    dropped_ += std::exchange(used_, 0);
    broken_ = true;
    return Drained::broken;
  }
  start_ = (start_ + *written) % ring_.size();
  used_ -= *written;
  return used_ == 0 ? Drained::empty : Drained::would_block;
}

void OutputRing::on_wake() {
  std::ignore = drain_eventfd(wake_.ref());
  if (waiting_) return;
  if (!regular_file_) {
    auto watch = loop_.watch(FdRef{out_}, Interest::write, [this] { on_writable(); });
    waiting_ = watch.has_value();
    if (watch) {
      writable_ = std::move(*watch);
      return;
    }
    regular_file_ = true;
  }
  while (write_chunk() == Drained::would_block) {
  }
}

void OutputRing::on_writable() {
  if (write_chunk() == Drained::would_block) return;
  waiting_ = false;
  writable_ = {};
}

bool OutputRing::flush(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wanted{.fd = out_, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0 || (ready < 0 && errno != EINTR)) {
      switch (write_chunk()) {
        case Drained::empty: return true;
        case Drained::broken: return false;
        case Drained::would_block: break;
      }
    }
    if (ready == 0 || left.count() <= 0) {
      const std::scoped_lock lock{mutex_};
      return used_ == 0;
    }
  }
}

}  // namespace pcivm::vmm
