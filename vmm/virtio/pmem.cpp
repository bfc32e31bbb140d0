// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/pmem.hpp"

#include <fcntl.h>
#include <linux/virtio_ids.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "vmm/thread_filter.hpp"
#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kUnit = 2 * kMiB;  // what Linux takes as memory
constexpr std::uint16_t kQueueSize = 64;

// 5.19.6; <linux/virtio_pmem.h> has neither outcome.
constexpr std::uint32_t kFlush = 0;
constexpr std::uint32_t kOk = 0;
constexpr std::uint32_t kFailed = 1;

// Tokens of the engine: requests count from kFirst.
constexpr std::uint64_t kDoorbell = 0;
constexpr std::uint64_t kStop = 1;
constexpr std::uint64_t kFirst = 2;

// A block device has its room.
Result<void> reserve(FdRef file, std::uint64_t length, const std::string& path) {
  if (::fallocate(file.number(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(length)) == 0) return {};
  if (errno == EOPNOTSUPP || errno == ENODEV || errno == ENOSYS) return {};
  return fail(Error::from_errno(errno, fmt::format("reserve {} bytes for '{}'", length, path))
                  .advise("make room, or use 'readonly'"));
}

}  // namespace

Result<PmemConfig> open_pmem(IoctlPort& port, const std::string& path, bool read_only) {
  auto disk = TRY(open_disk(port, path, {.read_only = read_only, .unit = kUnit}));
  const auto length = disk.geometry.sectors * kSector;
  if (!read_only) TRY(reserve(disk.file.ref(), length, path));
  return PmemConfig{.file = std::move(disk.file), .length = length, .read_only = read_only};
}

VirtioIdentity VirtioPmem::describe() {
  return {.name = "virtio-pmem",
          .type = VIRTIO_ID_PMEM,
          .pci_class = 0x00ff00,
          .features = virtio_features::kTransport,
          .queues = {kQueueSize},
          .config_length = sizeof(Registers),
          .one_doorbell = true};
}

VirtioPmem::VirtioPmem(PmemConfig config, const GuestMemory& memory, VirtioSignals& signals, Fd stop)
    : config_{std::move(config)},
      registers_{.start = config_.base.value, .size = config_.length},
      signals_{signals},
      queues_{memory, signals, 1},
      stop_{std::move(stop)} {}

Result<std::unique_ptr<VirtioDevice>> VirtioPmem::create(PmemConfig config, const GuestMemory& memory,
                                                         VirtioSignals& signals, MakeEngine make_engine) {
  auto stop = TRY(make_eventfd());
  std::unique_ptr<VirtioPmem> device{new VirtioPmem{std::move(config), memory, signals, std::move(stop)}};
  device->thread_ = std::jthread{[raw = device.get(), make_engine] {
    std::string why;  // without io_uring a flush waits for the one before it, and nothing else
    const auto engine = make_engine(why);
    become(ThreadKind::io);
    auto served = raw->serve(*engine);
    if (served) return;
    const auto held = raw->queues_.lock();
    raw->queues_.abandon(0);
    raw->signals_.broken(served.error());
  }};
  return device;
}

VirtioPmem::~VirtioPmem() { signal_eventfd(stop_.ref()); }

void VirtioPmem::read_config(std::uint32_t offset, std::span<std::byte> data) {
  const auto bytes = std::as_bytes(std::span{&registers_, 1});
  std::ranges::copy(bytes.subspan(offset, data.size()), data.begin());
}

Result<void> VirtioPmem::serve(IoEngine& engine) {
  TRY(engine.watch(signals_.doorbell(0), kDoorbell));
  TRY(engine.watch(stop_.ref(), kStop));
  std::vector<IoEngine::Completion> done;
  for (;;) {
    done.clear();
    TRY(engine.wait(done));
    const auto held = queues_.lock();
    for (const auto& [token, result] : done) {
      if (token == kStop) return {};
      if (token >= kFirst) on_synced(engine, token - kFirst, result);
    }
    accept(engine);
    queues_.finish(0);
  }
}

void VirtioPmem::accept(IoEngine& engine) {
  VirtioChain chain;
  for (unsigned count = 0; count < 2U * kQueueSize; ++count) {
    if (!queues_.next(0, chain)) return;
    if (free_.empty()) {
      free_.push_back(requests_.size());
      requests_.emplace_back();
    }
    const auto index = free_.back();
    free_.pop_back();
    requests_[index] = std::move(chain);
    request(engine, index);
  }
  // A guest that adds without end comes back by the doorbell.
  signal_eventfd(signals_.doorbell(0));
}

void VirtioPmem::request(IoEngine& engine, std::size_t index) {
  const auto& chain = requests_[index];
  std::uint32_t type = 0;
  ChainReader reader{chain};
  if (!reader.read(std::as_writable_bytes(std::span{&type, 1})) || chain.writable_bytes < sizeof kOk) {
    free_.push_back(index);
    queues_.refuse(0, Error::make(Errc::invalid, "a request without a type, or without room for its outcome"));
    return;
  }
  queues_.hold(0);
  if (type != kFlush) {
    answer(index, kFailed);
  } else if (config_.read_only) {
    answer(index, kOk);
  } else {
    engine.sync(config_.file.ref(), kFirst + index);
  }
}

void VirtioPmem::on_synced(IoEngine& engine, std::size_t index, std::int32_t result) {
  if (result == -EINTR || result == -EAGAIN) {
    engine.sync(config_.file.ref(), kFirst + index);
    return;
  }
  if (result < 0) signals_.report(Error::from_errno(-result, "fdatasync"));
  answer(index, result < 0 ? kFailed : kOk);
}

void VirtioPmem::answer(std::size_t index, std::uint32_t outcome) {
  ChainWriter writer{requests_[index]};
  (void)writer.write(std::as_bytes(std::span{&outcome, 1}));
  queues_.give(0, requests_[index], writer.written());
  queues_.release(0);
  free_.push_back(index);
}

}  // namespace pcivm::vmm
