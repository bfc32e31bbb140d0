// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-blk (virtio 1.2, 5.2): a disk in a raw file or a block device, with an I/O thread of its own.
#pragma once

#include <linux/virtio_blk.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/block_request.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/io_engine.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/rate_limit.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// A disk with a limit takes no more requests for a while when it had its share; a timer brings it back.
/// A file that shrinks, fills up or fails gives the guest I/O errors; the VM goes on.
class VirtioBlock final : public VirtioDevice {
 public:
  using MakeEngine = std::unique_ptr<IoEngine> (*)(std::string& why);

  [[nodiscard]] static VirtioIdentity describe(const DiskConfig& config);
  /// `memory` and `signals` outlive the device. `make_engine` is called on the I/O thread.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(DiskConfig config, const GuestMemory& memory,
                                                                    VirtioSignals& signals,
                                                                    MakeEngine make_engine = &IoEngine::create);
  VirtioBlock(const VirtioBlock&) = delete;
  VirtioBlock& operator=(const VirtioBlock&) = delete;
  /// Waits for what is under way.
  ~VirtioBlock() override;

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }

 private:
  VirtioBlock(DiskConfig config, const GuestMemory& memory, VirtioSignals& signals, Fd stop, Fd timer);
  void work(MakeEngine make_engine);
  [[nodiscard]] Result<void> serve(IoEngine& engine);
  void accept_all(IoEngine& engine);
  void accept(IoEngine& engine, unsigned queue);
  [[nodiscard]] bool limited() const { return operations_.limited() || bytes_.limited(); }
  [[nodiscard]] bool must_wait();
  void charge(const BlockRequest& request);
  void submit(IoEngine& engine, std::size_t index);
  void on_completion(IoEngine& engine, std::size_t index, std::int32_t result);
  void finish(std::size_t index);
  void publish(IoEngine& engine);
  [[nodiscard]] std::size_t free_request();
  void give_up(const Error& error);

  DiskConfig config_;
  VirtioIdentity identity_;
  virtio_blk_config registers_{};
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Fd stop_;
  Fd timer_;  // when the next request may come
  // The I/O thread's, under the lock of queues_.
  std::vector<std::unique_ptr<BlockRequest>> requests_;  // by token; kept, because allocating them costs
  std::vector<std::size_t> free_;
  std::vector<bool> answered_;  // by queue: something was given back
  RateLimit operations_;
  RateLimit bytes_;
  bool waiting_{};       // for the timer
  unsigned next_{};      // the queue whose turn it is
  bool stopping_{};      // the I/O thread's own
  std::jthread thread_;  // ends before the rest goes
};

}  // namespace pcivm::vmm
