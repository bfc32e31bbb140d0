// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-pmem (virtio 1.2, 5.19): a file in the guest's memory, which its file systems use without copies (DAX), and a
// queue of requests to make it durable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/io_engine.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// Opens and locks a file as open_disk() does. Room for all of it is reserved, since a guest's store has no answer: one
/// for which the file system had no room would end the VM. Errc::invalid: no multiple of 2 MiB.
[[nodiscard]] Result<PmemConfig> open_pmem(IoctlPort& port, const std::string& path, bool read_only);

/// The file is mapped by GuestMemory, at PmemConfig::base; the device knows of it, and syncs it on a thread of its own.
class VirtioPmem final : public VirtioDevice {
 public:
  using MakeEngine = std::unique_ptr<IoEngine> (*)(std::string& why);
  [[nodiscard]] static VirtioIdentity describe();
  /// As VirtioBlock::create.
  [[nodiscard]] static Result<std::unique_ptr<VirtioDevice>> create(PmemConfig config, const GuestMemory& memory,
                                                                    VirtioSignals& signals,
                                                                    MakeEngine make_engine = &IoEngine::create);
  VirtioPmem(const VirtioPmem&) = delete;
  VirtioPmem& operator=(const VirtioPmem&) = delete;
  /// Waits for what is under way.
  ~VirtioPmem() override;

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    return queues_.start(queue, setup, features);
  }
  void stop_queue(unsigned queue) override { queues_.stop(queue); }

 private:
  struct Registers {
    std::uint64_t start;
    std::uint64_t size;
  };
  VirtioPmem(PmemConfig config, const GuestMemory& memory, VirtioSignals& signals, Fd stop);
  [[nodiscard]] Result<void> serve(IoEngine& engine);
  void accept(IoEngine& engine);
  void request(IoEngine& engine, std::size_t index);
  void on_synced(IoEngine& engine, std::size_t index, std::int32_t result);
  void answer(std::size_t index, std::uint32_t outcome);

  PmemConfig config_;
  VirtioIdentity identity_ = describe();
  Registers registers_;
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Fd stop_;
  // The thread's, under the lock of queues_.
  std::vector<VirtioChain> requests_;  // by token
  std::vector<std::size_t> free_;
  std::jthread thread_;  // ends before the rest goes
};

}  // namespace pcivm::vmm
