// SPDX-License-Identifier: GPL-2.0-or-later
// A virtio device as its transport needs it, and no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "vmm/virtio/ring.hpp"

namespace pcivm::vmm {

struct VirtioIdentity {
  std::string name;                   ///< for messages
  std::uint16_t type{};               ///< VIRTIO_ID_*
  std::uint32_t pci_class{};          ///< 24 bits
  std::uint64_t features{};           ///< offered, those of rings and transport included
  std::vector<std::uint16_t> queues;  ///< the largest size of each; powers of two
  std::uint32_t config_length{};      ///< bytes of its configuration space
  bool one_doorbell{};                ///< all queues are looked at together
};

/// The transport calls on vCPU threads, one call at a time, with its lock held; a device locks against its own threads
/// and never calls its transport back (VirtioSignals is no part of it).
///
/// Life of a queue: start_queue -> the device works -> stop_queue. All are stopped before reset() and destruction.
class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;
  /// The same for the life of the device.
  [[nodiscard]] virtual const VirtioIdentity& identity() const = 0;

  /// Inside config_length; any size and alignment.
  virtual void read_config(std::uint32_t offset, std::span<std::byte> data) = 0;
  /// Most devices have nothing there to write.
  virtual void write_config(std::uint32_t /*offset*/, std::span<const std::byte> /*data*/) {}

  /// The driver is ready and enabled this queue; chains may be there already. `features` are the negotiated ones, the
  /// same for all queues. Errc::invalid: the driver placed it where no queue can be.
  [[nodiscard]] virtual Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                                 std::uint64_t features) = 0;
  /// Returns when the device will not touch the queue nor its buffers any more. A stopped queue may be stopped again.
  virtual void stop_queue(unsigned queue) = 0;
  /// Back to the state before a driver came, where there is more of it than queues. All queues are stopped.
  virtual void reset() {}
};

}  // namespace pcivm::vmm
