// SPDX-License-Identifier: GPL-2.0-or-later
// The common configuration structure of a virtio device (virtio 1.2, 4.1.4.3): status, feature negotiation, queues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "vmm/virtio/device.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// Not synchronised. A guest can write anything in any order:
/// - FEATURES_OK is refused for features that were not offered, and features do not change after it;
/// - a queue's registers do not change while it is enabled, nor after DRIVER_OK unless the queue was reset;
/// - status bits are only added, until a write of 0 resets the device.
class CommonRegisters final {
 public:
  static constexpr std::uint32_t kLength = 0x40;  // with padding

  /// `ready` says whether the device may reach guest memory now (Bus Master Enable). Collaborators outlive the object.
  CommonRegisters(VirtioDevice& device, VirtioSignals& signals, std::function<bool()> may_start);
  CommonRegisters(const CommonRegisters&) = delete;
  CommonRegisters& operator=(const CommonRegisters&) = delete;

  /// Whole fields in their own width, and each half of a 64-bit field; all else reads all-ones and writes nothing.
  void read(std::uint64_t offset, std::span<std::byte> data) const;
  void write(std::uint64_t offset, std::span<const std::byte> data);

  /// The driver is ready: doorbells matter.
  [[nodiscard]] bool running() const { return running_; }
  /// Stops all queues; the driver has to reset the device.
  void halt(const Error& reason);
  /// As a write of 0 to the status.
  void reset();

 private:
  struct Queue {
    VirtioQueueSetup setup;
    std::uint16_t most{};  // entries
    bool enabled{};
    bool changeable{true};
  };
  [[nodiscard]] std::uint64_t value(std::uint32_t field) const;
  [[nodiscard]] std::uint64_t queue_value(std::uint32_t field) const;
  void set(std::uint32_t field, std::uint64_t value);
  void set_queue(std::uint32_t field, std::uint64_t value);
  void set_status(std::uint8_t status);
  void enable_queue(unsigned index);
  void reset_queue(unsigned index);
  void start();
  void stop();
  void start_queue(unsigned index);
  [[nodiscard]] bool features_acceptable() const;
  [[nodiscard]] std::uint16_t checked_vector(std::uint64_t value) const;
  [[nodiscard]] bool negotiated(unsigned feature) const { return (driver_features_ >> feature & 1U) != 0; }

  VirtioDevice& device_;
  VirtioSignals& signals_;
  std::function<bool()> may_start_;
  std::uint32_t device_feature_select_{};
  std::uint32_t driver_feature_select_{};
  std::uint64_t driver_features_{};
  std::uint16_t queue_select_{};
  std::uint8_t status_{};
  bool running_{};
  std::vector<Queue> queues_;
};

}  // namespace pcivm::vmm
