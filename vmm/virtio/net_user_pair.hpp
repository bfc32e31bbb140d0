// SPDX-License-Identifier: GPL-2.0-or-later
// Frames between a port and a guest, carried by a thread of this process.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/frame_port.hpp"
#include "vmm/virtio/io_engine.hpp"
#include "vmm/virtio/net_pair.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// The thread waits for the first queue. Frames that nobody has room for are lost, as on a wire.
class NetUserPair final : public NetPair {
 public:
  using MakeEngine = std::unique_ptr<IoEngine> (*)(std::string& why);
  /// `first` is the receive queue's number; the transmit queue follows. What is borrowed outlives the pair. Its thread
  /// is made here and not when it has to do something: by then none may be that makes an engine (thread_filter.hpp).
  [[nodiscard]] static Result<std::unique_ptr<NetPair>> create(std::unique_ptr<FramePort> port, unsigned first,
                                                               const GuestMemory& memory, VirtioSignals& signals,
                                                               MakeEngine make_engine);
  NetUserPair(const NetUserPair&) = delete;
  NetUserPair& operator=(const NetUserPair&) = delete;
  ~NetUserPair() override;

  [[nodiscard]] Result<void> start(NetQueue which, const VirtioQueueSetup& setup, std::uint64_t features) override;
  void stop(NetQueue which) override;

 private:
  // Of queues_; the signals' numbers are first_ higher.
  static constexpr unsigned kReceive = 0;
  static constexpr unsigned kTransmit = 1;

  NetUserPair(std::unique_ptr<FramePort> port, unsigned first, const GuestMemory& memory, VirtioSignals& signals,
              Fd wake);
  void work(MakeEngine make_engine);
  [[nodiscard]] Result<void> serve(IoEngine& engine);
  void receive(IoEngine& engine);
  enum class Came : std::uint8_t { frame, nothing, too_long };
  [[nodiscard]] Came receive_frame();
  void gather();
  [[nodiscard]] std::size_t room() const;
  void scatter(std::span<const std::byte> frame);
  void deliver(std::size_t length);
  void transmit(IoEngine& engine);
  void publish(IoEngine& engine, unsigned queue);

  std::unique_ptr<FramePort> port_;
  unsigned first_;
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Fd wake_;                        // when one of these becomes true
  std::atomic<bool> used_{false};  // a queue was started once
  std::atomic<bool> ends_{false};
  // The thread's, under the lock of queues_.
  std::deque<VirtioChain> chains_;  // taken for frames to come, in order
  std::size_t gathered_{};          // bytes in them
  unsigned slots_{};                // of the ring, in them
  unsigned size_{};                 // of the ring
  bool mergeable_{};                // a frame may take several chains
  bool polling_{};                  // the engine tells when the port has a frame
  bool awaited_{};                  // the engine tells when the port can send
  bool port_ready_{};               // it may have a frame
  std::vector<std::byte> scratch_;  // a frame that does not fit the buffers as they are
  std::vector<iovec> parts_;
  std::jthread thread_;  // ends before the rest goes
};

}  // namespace pcivm::vmm
