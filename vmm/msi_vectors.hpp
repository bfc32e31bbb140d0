// SPDX-License-Identifier: GPL-2.0-or-later
// The message interrupts of an assigned function between VFIO and KVM: each vector in use is an eventfd that VFIO
// signals and KVM turns into the guest's interrupt, without this process waking up.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vfio/device.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/message_vectors.hpp"

namespace pcivm::vmm {

/// Order kept, because a host kernel once fell over it: a route is committed before its irqfd is assigned, an irqfd is
/// deassigned before its route goes. A route that only changes its message takes its irqfd along.
///
/// A device with few vectors gets all host interrupts when the kind is enabled, one with many each when it is first
/// unmasked. A vector that is masked again keeps eventfd, irqfd and route (so that posted interrupts stay set up); only
/// what VFIO signals is switched to another eventfd, which holds the pending state. They stay while the kind is
/// disabled, too, because nobody signals then: drivers turn MSI-X off and on again as they start.
///
/// MSI is all or nothing: the kernel allocates as many as it is told of at first, in a row, and tells the device their
/// number. So it is enabled with as many vectors as enable() names, masked ones among them. When the host has fewer it
/// gets half, and so on; what the device then puts on the vectors that it has is delivered.
class MsiVectors final : public MessageVectors {
 public:
  /// `count` vectors, all masked, the kind disabled. Collaborators outlive the object.
  MsiVectors(const vfio::Device& device, vfio::Irq kind, unsigned count, InterruptRoutes& routes, const Report& report);
  MsiVectors(const MsiVectors&) = delete;
  MsiVectors& operator=(const MsiVectors&) = delete;
  ~MsiVectors() override;

  [[nodiscard]] bool enabled() const override { return enabled_; }
  /// With nothing unmasked a device with many vectors is enabled with vector 0, whose host interrupt the kernel takes
  /// in any case.
  void enable(std::span<const Wanted> wanted) override;
  void update(unsigned first, std::span<const Wanted> wanted) override;
  /// One call: the host interrupts.
  void disable() override;
  /// irqfds, then host interrupts, then routes.
  void release() override;
  [[nodiscard]] bool pending(unsigned vector) override;

  /// Vectors that hold an interrupt of the host, and all that there are.
  [[nodiscard]] unsigned used() const;
  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(vectors_.size()); }

 private:
  enum class Trigger : std::uint8_t {
    none,
    waiting,  // `event`, which has no irqfd yet
    guest,    // `event`
    parked,
  };
  struct Vector {
    std::optional<Gsi> gsi;
    Fd event;   // to KVM
    Fd parked;  // while masked
    MsiMessage message;
    bool attached{false};
    bool is_pending{false};
    Trigger trigger{Trigger::none};
  };

  [[nodiscard]] Result<void> arm(unsigned count, std::span<const Wanted> wanted);
  void arm_in_a_row(std::span<const Wanted> wanted);
  [[nodiscard]] bool in_a_row() const { return kind_ == vfio::Irq::msi; }
  [[nodiscard]] Trigger first_trigger(Vector& vector, bool wanted);
  void park(unsigned first, std::span<const Wanted> wanted);
  [[nodiscard]] bool make(Fd& event) const;
  [[nodiscard]] std::vector<unsigned> route(unsigned first, std::span<const Wanted> wanted);
  [[nodiscard]] Result<void> prepare(Vector& vector);
  void attach(const std::vector<unsigned>& routed);
  void set_triggers(const std::vector<unsigned>& vectors);
  [[nodiscard]] Result<void> set_run(unsigned start, unsigned count);
  void grow(unsigned count);
  void deliver_parked(const std::vector<unsigned>& vectors);
  void absorb(Vector& vector);
  [[nodiscard]] std::vector<int> events(unsigned start, unsigned count) const;
  void report(Result<void> outcome) const;

  const vfio::Device& device_;
  vfio::Irq kind_;
  InterruptRoutes& routes_;
  const Report& report_;
  bool enabled_{false};
  unsigned host_count_{0};  // vectors the kernel was told of; 0 = disabled there
  std::vector<Vector> vectors_;
};

}  // namespace pcivm::vmm
