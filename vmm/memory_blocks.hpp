// SPDX-License-Identifier: GPL-2.0-or-later
// RAM that comes and goes while the guest runs, in blocks of one size: which are plugged, and all that must know of it
// (docs/adr/0007-memory-blocks.md).
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/memory_slots.hpp"

namespace pcivm::vmm {

/// Any thread. A block that is plugged is memory of the guest's CPUs (a slot of KVM), of our devices (GuestMemory) and
/// of assigned ones (a mapping); one that is not is none of them, and its memory is the host's. Requests are the
/// guest's, so all of them are judged; answers are VIRTIO_MEM_RESP_*, and after one that is not ACK everything is as
/// before. One that cannot be carried out for want of something of the host's is answered by BUSY, since a driver
/// comes back after that (after NACK at once).
class MemoryBlocks final {
 public:
  /// Of blocks: each has a slot, and a mapping that can be undone by itself.
  static constexpr std::uint64_t kMost = 4096;
  /// Bytes of a block when there are `length` bytes: a power of two, 2 MiB and more.
  [[nodiscard]] static constexpr std::uint64_t size_for(std::uint64_t length) {
    return std::max(2 * kMiB, std::bit_ceil((length + kMost - 1) / kMost));
  }

  struct Wiring {
    const GuestMemory& memory;  ///< has the range already (add_blocks)
    MemorySlots& slots;
    bool populate{};                           ///< all of a block when it is plugged
    std::function<void()> changed;             ///< plugged() did; any thread
    std::function<void(Error)> fail;           ///< the VM must end: the guest would find less than it knows of
    std::function<void(const Error&)> report;  ///< told some times
  };
  MemoryBlocks(GuestMemory::Range range, Wiring wiring);
  MemoryBlocks(const MemoryBlocks&) = delete;
  MemoryBlocks& operator=(const MemoryBlocks&) = delete;

  [[nodiscard]] const GuestMemory::Range& range() const { return range_; }
  [[nodiscard]] std::uint64_t block() const { return block_; }

  // For the host. Bytes.

  /// How much the guest is to plug. Errc::invalid: more than there is, or no whole blocks.
  [[nodiscard]] Result<void> want(std::uint64_t bytes);
  [[nodiscard]] std::uint64_t wanted() const { return wanted_; }
  [[nodiscard]] std::uint64_t plugged() const { return plugged_; }

  // For the guest.

  [[nodiscard]] std::uint16_t plug(Gpa from, std::uint64_t count);
  [[nodiscard]] std::uint16_t unplug(Gpa from, std::uint64_t count);
  [[nodiscard]] std::uint16_t unplug_all();
  /// VIRTIO_MEM_STATE_*; none: no such blocks.
  [[nodiscard]] std::optional<std::uint16_t> state(Gpa from, std::uint64_t count) const;

  // For who has the devices.

  /// They reach what is plugged, now and later, until leave(). Fails as DmaSpace::map(), and then nothing is mapped.
  [[nodiscard]] Result<void> attach(vfio::DmaSpace& space);
  /// Nothing is plugged or unplugged as long as it is held.
  [[nodiscard]] std::unique_lock<std::mutex> hold() const { return std::unique_lock{mutex_}; }
  /// The mappings go with their space. Held.
  void leave();
  /// Bytes that are mapped for them.
  [[nodiscard]] std::uint64_t mapped() const { return attached_ ? plugged_.load() : 0; }
  /// Nothing is plugged any more, for a guest that starts anew: with no vCPU running, and before MemorySlots::rebind().
  /// What is wanted stays.
  [[nodiscard]] Result<void> restart();

 private:
  using Indices = std::vector<std::size_t>;
  [[nodiscard]] Gpa address(std::size_t index) const { return range_.gpa + index * block_; }
  [[nodiscard]] vfio::DmaRun run(std::size_t index) const;
  [[nodiscard]] std::optional<Indices> find(Gpa from, std::uint64_t count) const;
  [[nodiscard]] bool is_plugged(std::size_t index) const { return slots_[index].has_value(); }
  [[nodiscard]] Result<void> map(std::size_t index);
  [[nodiscard]] Result<void> show(std::size_t index);
  [[nodiscard]] Result<void> hide(std::size_t index);
  [[nodiscard]] std::uint16_t take(const Indices& indices);
  void discard(std::span<const std::size_t> indices);
  void count(std::uint64_t bytes);
  [[nodiscard]] std::uint16_t busy(Error error);
  void report(Error error);
  void must(Result<void> undone);

  GuestMemory::Range range_;
  std::uint64_t block_;
  Wiring wiring_;
  Hva hva_;
  int file_{-1};
  std::atomic<std::uint64_t> wanted_{0};
  std::atomic<std::uint64_t> plugged_{0};
  std::atomic<bool> attached_{false};
  mutable std::mutex mutex_;                  // guards all below; then those of slots and space
  std::vector<std::optional<SlotId>> slots_;  // by block; none = not plugged
  vfio::DmaSpace* space_{};
  unsigned reports_{};
};

}  // namespace pcivm::vmm
