// SPDX-License-Identifier: GPL-2.0-or-later
// What passes between a virtio device's own threads and its driver without a lock of the transport: doorbells one way,
// interrupts the other way.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/interrupts.hpp"

namespace pcivm::vmm {

/// Any thread.
class VirtioSignals final {
 public:
  using Report = std::function<void(const Error&)>;
  static constexpr std::uint16_t kNoVector = 0xffff;

  /// For `queues` queues: as many vectors and one more. `one_doorbell`: all queues share one. Errors that a guest can
  /// cause are reported a limited number of times, as `name`.
  [[nodiscard]] static Result<std::unique_ptr<VirtioSignals>> create(std::string name, unsigned queues,
                                                                     bool one_doorbell, Report report);
  VirtioSignals(const VirtioSignals&) = delete;
  VirtioSignals& operator=(const VirtioSignals&) = delete;

  // For the device.

  /// Signalled when the driver says that it put something into the queue; never replaced.
  [[nodiscard]] FdRef doorbell(unsigned queue) const { return doorbells_[doorbell_index(queue)].ref(); }
  /// Used buffers are there.
  void interrupt(unsigned queue);
  /// What to signal instead of calling interrupt(), for who has no thread here (vhost, io_uring); none without MSI-X,
  /// or when the driver wants no interrupt from this queue. The same from start to stop of a queue.
  [[nodiscard]] std::optional<FdRef> interrupt_event(unsigned queue) const;
  /// The configuration space changed.
  void config_changed();
  /// The driver broke the specification, or the device cannot go on: the driver is asked to reset it.
  void broken(const Error& error);
  void report(const Error& error);

  // For the transport.

  [[nodiscard]] unsigned doorbells() const { return static_cast<unsigned>(doorbells_.size()); }
  [[nodiscard]] unsigned doorbell_index(unsigned queue) const { return queue < doorbells_.size() ? queue : 0; }
  [[nodiscard]] unsigned vectors() const { return static_cast<unsigned>(events_.size()); }
  [[nodiscard]] FdRef vector_event(unsigned vector) const { return events_[vector].ref(); }

  [[nodiscard]] std::uint16_t queue_vector(unsigned queue) const { return queue_vectors_[queue]; }
  void set_queue_vector(unsigned queue, std::uint16_t vector) { queue_vectors_[queue] = vector; }
  [[nodiscard]] std::uint16_t config_vector() const { return config_vector_; }
  void set_config_vector(std::uint16_t vector) { config_vector_ = vector; }

  /// Vectors are used instead of the line.
  void use_msix(bool on);
  /// The wire of the function's INTx; none before. It outlives this object.
  void connect(InterruptLine& line) { line_ = &line; }
  void allow_intx(bool on);
  [[nodiscard]] bool intx_asserted() const;
  /// The ISR status register (virtio 1.2, 4.1.4.5): reading lowers the line.
  [[nodiscard]] std::uint8_t take_isr();
  [[nodiscard]] bool is_broken() const { return broken_; }
  [[nodiscard]] std::uint8_t generation() const { return generation_; }
  /// As after a reset of the device: no vectors, nothing pending, not broken.
  void reset();

 private:
  VirtioSignals(std::string name, Report report) : name_{std::move(name)}, report_{std::move(report)} {}
  void raise(std::uint16_t vector, std::uint8_t isr);
  void settle_line();

  std::string name_;
  Report report_;
  std::atomic<unsigned> reports_{0};
  std::vector<Fd> doorbells_;
  std::vector<Fd> events_;  // by vector
  std::vector<std::atomic<std::uint16_t>> queue_vectors_;
  std::atomic<std::uint16_t> config_vector_{kNoVector};
  std::atomic<std::uint8_t> generation_{0};
  std::atomic<bool> broken_{false};
  std::atomic<bool> msix_{false};
  mutable std::mutex mutex_;  // then the wire's
  InterruptLine* line_{};     // guarded by mutex_, as are the next two
  std::uint8_t isr_{};
  bool intx_allowed_{true};
};

}  // namespace pcivm::vmm
