// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/block.hpp"

#include <linux/virtio_ids.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "vmm/thread_filter.hpp"
#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

using virtio_features::bit;

constexpr std::uint16_t kQueueSize = 256;
constexpr std::uint32_t kMostDiscard = 131072;  // sectors: 64 MiB, for who has to write them out

// Tokens of the engine: requests count from kFirst.
constexpr std::uint64_t kDoorbell = 0;
constexpr std::uint64_t kStop = 1;
constexpr std::uint64_t kTimer = 2;
constexpr std::uint64_t kFirst = 3;

virtio_blk_config registers_of(const DiskConfig& config) {
  const auto& geometry = config.disk.geometry;
  virtio_blk_config registers{};
  registers.capacity = geometry.sectors;
  registers.seg_max = kQueueSize - 2;
  registers.blk_size = geometry.block_size;
  registers.physical_block_exp =
      static_cast<std::uint8_t>(std::countr_zero(geometry.physical_size / geometry.block_size));
  registers.num_queues = static_cast<std::uint16_t>(config.queues);
  registers.max_discard_sectors = registers.max_write_zeroes_sectors = kMostDiscard;
  registers.max_discard_seg = registers.max_write_zeroes_seg = 1;
  registers.discard_sector_alignment = geometry.block_size / static_cast<std::uint32_t>(kSector);
  registers.write_zeroes_may_unmap = 1;
  return registers;
}

}  // namespace

VirtioIdentity VirtioBlock::describe(const DiskConfig& config) {
  const auto features =
      virtio_features::kTransport | bit(VIRTIO_BLK_F_SEG_MAX) | bit(VIRTIO_BLK_F_BLK_SIZE) | bit(VIRTIO_BLK_F_FLUSH) |
      bit(VIRTIO_BLK_F_TOPOLOGY) |
      (config.read_only ? bit(VIRTIO_BLK_F_RO) : bit(VIRTIO_BLK_F_DISCARD) | bit(VIRTIO_BLK_F_WRITE_ZEROES)) |
      (config.queues > 1 ? bit(VIRTIO_BLK_F_MQ) : 0) | (config.packed ? virtio_features::kPacked : 0);
  return {.name = "virtio-blk",
          .type = VIRTIO_ID_BLOCK,
          .pci_class = 0x010000,
          .features = features,
          .queues = std::vector<std::uint16_t>(config.queues, kQueueSize),
          .config_length = sizeof(virtio_blk_config),
          .one_doorbell = true};
}

VirtioBlock::VirtioBlock(DiskConfig config, const GuestMemory& memory, VirtioSignals& signals, Fd stop, Fd timer)
    : config_{std::move(config)},
      identity_{describe(config_)},
      registers_{registers_of(config_)},
      signals_{signals},
      queues_{memory, signals, config_.queues},
      stop_{std::move(stop)},
      timer_{std::move(timer)},
      answered_(config_.queues),
      operations_{config_.iops},
      bytes_{config_.bandwidth} {}

Result<std::unique_ptr<VirtioDevice>> VirtioBlock::create(DiskConfig config, const GuestMemory& memory,
                                                          VirtioSignals& signals, MakeEngine make_engine) {
  auto stop = TRY(make_eventfd());
  auto timer = TRY(make_timerfd());
  std::unique_ptr<VirtioBlock> device{
      new VirtioBlock{std::move(config), memory, signals, std::move(stop), std::move(timer)}};
  device->thread_ = std::jthread{[raw = device.get(), make_engine] { raw->work(make_engine); }};
  return device;
}

VirtioBlock::~VirtioBlock() { signal_eventfd(stop_.ref()); }

void VirtioBlock::read_config(std::uint32_t offset, std::span<std::byte> data) {
  const auto bytes = std::as_bytes(std::span{&registers_, 1});
  std::ranges::copy(bytes.subspan(offset, data.size()), data.begin());
}

void VirtioBlock::work(MakeEngine make_engine) {
  std::string why;
  const auto engine = make_engine(why);
  become(ThreadKind::io);
  if (!why.empty()) {
    signals_.report(
        Error::make(Errc::kernel, fmt::format("no io_uring ({}), continuing with plain system calls", why)));
  }
  if (auto served = serve(*engine); !served) give_up(served.error());
}

Result<void> VirtioBlock::serve(IoEngine& engine) {
  TRY(engine.watch(signals_.doorbell(0), kDoorbell));
  TRY(engine.watch(stop_.ref(), kStop));
  if (limited()) TRY(engine.watch(timer_.ref(), kTimer));
  std::vector<IoEngine::Completion> done;
  while (!stopping_) {
    done.clear();
    TRY(engine.wait(done));
    const auto held = queues_.lock();
    bool rang = false;
    for (const auto& [token, result] : done) {
      stopping_ = stopping_ || token == kStop;
      rang = rang || token == kDoorbell || token == kTimer;
      waiting_ = waiting_ && token != kTimer;
      if (token >= kFirst) on_completion(engine, token - kFirst, result);
    }
    if (rang) accept_all(engine);
    publish(engine);
  }
  return {};
}

// With a limit the queues take turns at who comes first.
void VirtioBlock::accept_all(IoEngine& engine) {
  const auto first = limited() ? next_++ % config_.queues : 0;
  for (unsigned step = 0; step < config_.queues; ++step) accept(engine, (first + step) % config_.queues);
}

bool VirtioBlock::must_wait() {
  if (!limited() || waiting_) return waiting_;
  const auto now = std::chrono::steady_clock::now();
  const auto wait = std::max(operations_.wait(now), bytes_.wait(now));
  if (wait == wait.zero()) return false;
  auto armed = arm_timerfd(timer_.ref(), wait, {});
  if (!armed) signals_.report(armed.error());
  waiting_ = armed.has_value();
  return waiting_;
}

void VirtioBlock::charge(const BlockRequest& request) {
  if (!limited()) return;
  const auto now = std::chrono::steady_clock::now();
  operations_.pass(1, now);
  bytes_.pass(request.bytes(), now);
}

void VirtioBlock::accept(IoEngine& engine, unsigned queue) {
  const BlockLimits limits{.geometry = config_.disk.geometry,
                           .read_only = config_.read_only,
                           .serial = config_.serial,
                           .most_discard = kMostDiscard};
  // A guest that adds without end to what is answered at once does not keep the thread from the rest of its work.
  for (unsigned count = 0; count < 2U * kQueueSize; ++count) {
    if (must_wait()) return;
    const auto index = free_request();
    auto& request = *requests_[index];
    if (!queues_.next(queue, request.chain)) {
      free_.push_back(index);
      return;
    }
    request.queue = queue;
    if (auto parsed = request.parse(limits); !parsed) {
      free_.push_back(index);
      queues_.refuse(queue, parsed.error());
      return;
    }
    queues_.hold(queue);
    charge(request);
    submit(engine, index);
  }
  signal_eventfd(signals_.doorbell(queue));
}

void VirtioBlock::submit(IoEngine& engine, std::size_t index) {
  auto& request = *requests_[index];
  if (request.has_status()) {
    finish(index);
  } else {
    request.submit(engine, config_.disk.file.ref(), kFirst + index);
  }
}

void VirtioBlock::on_completion(IoEngine& engine, std::size_t index, std::int32_t result) {
  if (auto advanced = requests_[index]->advance(result); !advanced) signals_.report(advanced.error());
  submit(engine, index);
}

void VirtioBlock::finish(std::size_t index) {
  auto& request = *requests_[index];
  request.answer();
  queues_.give(request.queue, request.chain, static_cast<std::uint32_t>(request.chain.writable_bytes));
  answered_[request.queue] = true;
  queues_.release(request.queue);
  free_.push_back(index);
}

// The interrupt goes to the kernel with what is submitted next.
void VirtioBlock::publish(IoEngine& engine) {
  for (unsigned queue = 0; queue < config_.queues; ++queue) {
    if (!answered_[queue]) continue;
    answered_[queue] = false;
    if (!queues_.publish(queue)) continue;
    if (const auto event = signals_.interrupt_event(queue)) {
      engine.signal(*event);
    } else {
      signals_.interrupt(queue);
    }
  }
}

std::size_t VirtioBlock::free_request() {
  if (free_.empty()) {
    requests_.push_back(std::make_unique<BlockRequest>());
    return requests_.size() - 1;
  }
  const auto index = free_.back();
  free_.pop_back();
  return index;
}

// Nobody works on the queues any more, so nobody may wait for them.
void VirtioBlock::give_up(const Error& error) {
  const auto held = queues_.lock();
  for (unsigned queue = 0; queue < config_.queues; ++queue) queues_.abandon(queue);
  signals_.broken(error);
}

}  // namespace pcivm::vmm
