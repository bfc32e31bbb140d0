// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/net_user_pair.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "vmm/thread_filter.hpp"
#include "vmm/virtio/features.hpp"
#include "vmm/virtio/net_uapi.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kDoorbells = 0;  // and 1, by queue
constexpr std::uint64_t kReadable = 2;
constexpr std::uint64_t kWritable = 3;
constexpr std::uint64_t kWake = 4;
constexpr unsigned kMostFrames = 256;  // in one go

}  // namespace

NetUserPair::NetUserPair(std::unique_ptr<FramePort> port, unsigned first, const GuestMemory& memory,
                         VirtioSignals& signals, Fd wake)
    : port_{std::move(port)},
      first_{first},
      signals_{signals},
      queues_{memory, signals, 2, first},
      wake_{std::move(wake)} {}

Result<std::unique_ptr<NetPair>> NetUserPair::create(std::unique_ptr<FramePort> port, unsigned first,
                                                     const GuestMemory& memory, VirtioSignals& signals,
                                                     MakeEngine make_engine) {
  auto wake = TRY(make_eventfd());
  std::unique_ptr<NetUserPair> pair{new NetUserPair{std::move(port), first, memory, signals, std::move(wake)}};
  pair->thread_ = std::jthread{[raw = pair.get(), make_engine] { raw->work(make_engine); }};
  return pair;
}

NetUserPair::~NetUserPair() {
  ends_ = true;
  signal_eventfd(wake_.ref());
}

Result<void> NetUserPair::start(NetQueue which, const VirtioQueueSetup& setup, std::uint64_t features) {
  if (!used_.exchange(true)) signal_eventfd(wake_.ref());
  {
    const auto held = queues_.lock();
    if (which == NetQueue::receive) {
      mergeable_ = virtio_features::has(features, net_uapi::kMergeableBuffers);
      size_ = setup.size;
    }
  }
  return queues_.start(which == NetQueue::receive ? kReceive : kTransmit, setup, features);
}

void NetUserPair::stop(NetQueue which) {
  queues_.stop(which == NetQueue::receive ? kReceive : kTransmit);
  const auto held = queues_.lock();
  if (which != NetQueue::receive) return;
  chains_.clear();
  gathered_ = 0;
  slots_ = 0;
}

void NetUserPair::work(MakeEngine make_engine) {
  std::string why;
  const auto engine = make_engine(why);
  become(ThreadKind::io);
  auto served = serve(*engine);
  if (served) return;
  const auto held = queues_.lock();
  queues_.abandon(kReceive);
  queues_.abandon(kTransmit);
  signals_.broken(served.error());
}

Result<void> NetUserPair::serve(IoEngine& engine) {
  TRY(engine.watch(wake_.ref(), kWake));
  std::vector<IoEngine::Completion> done;
  for (;;) {
    done.clear();
    TRY(engine.wait(done));
    const auto held = queues_.lock();
    std::array<bool, 2> rang{};
    for (const auto& completion : done) {
      if (ends_) return {};
      if (completion.token == kWake) {
        // Not before: until then the doorbells are vhost's.
        for (const auto queue : {kReceive, kTransmit})
          TRY(engine.watch(signals_.doorbell(first_ + queue), kDoorbells + queue));
      } else if (completion.token == kReadable) {
        polling_ = false;
        port_ready_ = true;
      } else if (completion.token == kWritable) {
        awaited_ = false;
        rang[kTransmit] = true;
      } else {
        rang.at(completion.token - kDoorbells) = true;
      }
    }
    if (rang[kTransmit]) transmit(engine);
    if (rang[kReceive] || port_ready_) receive(engine);
    publish(engine, kReceive);
    publish(engine, kTransmit);
  }
}

// As many chains as a frame could need; as many buffers as one call takes.
void NetUserPair::gather() {
  while (room() < FramePort::kLongest && (mergeable_ || chains_.empty())) {
    VirtioChain chain;
    if (!queues_.next(kReceive, chain)) return;
    if (chain.writable_bytes < net_uapi::kHeader) {
      queues_.refuse(kReceive, Error::make(Errc::invalid, "a buffer without room for the header of a frame"));
      return;
    }
    gathered_ += chain.writable_bytes;
    slots_ += chain.slots;
    chains_.push_back(std::move(chain));
  }
}

std::size_t NetUserPair::room() const { return gathered_; }

void NetUserPair::receive(IoEngine& engine) {
  // Frames wait in the port, and its kernel's buffers.
  if (!queues_.active(kReceive) || port_->gone()) return;
  for (unsigned count = 0; count < kMostFrames; ++count) {
    gather();
    if (chains_.empty() || !queues_.active(kReceive)) return;  // the doorbell comes
    const auto came = receive_frame();
    if (came == Came::too_long) return;  // as without any
    if (came == Came::nothing) {
      port_ready_ = false;
      if (!port_->gone() && !std::exchange(polling_, true)) engine.poll_readable(port_->fd(), kReadable);
      return;
    }
  }
  // More later, after the other direction.
  signal_eventfd(signals_.doorbell(first_ + kReceive));
}

NetUserPair::Came NetUserPair::receive_frame() {
  parts_.clear();
  for (const auto& chain : chains_) parts_.insert(parts_.end(), chain.writable.begin(), chain.writable.end());
  const bool direct = room() >= FramePort::kLongest && parts_.size() <= IOV_MAX;
  if (!direct) {
    scratch_.resize(FramePort::kLongest);
    parts_ = {{.iov_base = scratch_.data(), .iov_len = scratch_.size()}};
  }
  // Where nothing is lost on the way, nothing shall be here while the driver may still bring buffers: not every TCP of
  // a port sends its last segment again.
  const bool waits = port_->keeps() && mergeable_ && slots_ < size_;
  const auto length = port_->receive(parts_, waits ? room() : FramePort::kLongest);
  if (!length) return Came::nothing;
  if (!direct) {
    if (*length > room()) return waits ? Came::too_long : Came::frame;  // lost
    scatter(std::span{scratch_}.first(*length));
  }
  deliver(*length);
  return Came::frame;
}

void NetUserPair::scatter(std::span<const std::byte> frame) {
  for (const auto& chain : chains_) frame = frame.subspan(ChainWriter{chain}.write(frame));
}

// Gives back as many chains as the frame took; the first one says how many (5.1.6.4).
void NetUserPair::deliver(std::size_t length) {
  std::uint16_t count = 0;
  for (std::size_t left = length; left != 0; ++count)
    left -= std::min<std::size_t>(left, chains_[count].writable_bytes);
  (void)put_at(chains_.front(), net_uapi::kBufferCount, std::as_bytes(std::span{&count, 1}));
  for (; count != 0; --count) {
    const auto& chain = chains_.front();
    const auto written = std::min<std::size_t>(length, chain.writable_bytes);
    queues_.give(kReceive, chain, static_cast<std::uint32_t>(written));
    gathered_ -= chain.writable_bytes;
    slots_ -= chain.slots;
    length -= written;
    chains_.pop_front();
  }
}

void NetUserPair::transmit(IoEngine& engine) {
  VirtioChain chain;
  for (unsigned count = 0; count < kMostFrames; ++count) {
    if (!port_->can_send()) {
      if (!std::exchange(awaited_, true)) engine.poll_writable(port_->fd(), kWritable);
      return;
    }
    if (!queues_.next(kTransmit, chain)) return;
    if (chain.readable_bytes < net_uapi::kHeader || chain.readable_bytes > FramePort::kLongest) {
      queues_.refuse(kTransmit, Error::make(Errc::invalid, "a frame that is shorter than its header, or too long"));
      return;
    }
    port_->send(chain.readable);
    queues_.give(kTransmit, chain, 0);
  }
  signal_eventfd(signals_.doorbell(first_ + kTransmit));
}

void NetUserPair::publish(IoEngine& engine, unsigned queue) {
  if (!queues_.publish(queue)) return;
  if (const auto event = signals_.interrupt_event(first_ + queue)) {
    engine.signal(*event);
  } else {
    signals_.interrupt(first_ + queue);
  }
}

}  // namespace pcivm::vmm
