// SPDX-License-Identifier: GPL-2.0-or-later
// The message interrupts of a function as its capability sees them: what the guest wants of each vector.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "vmm/interrupts.hpp"

namespace pcivm::vmm {

/// True for a message that reaches a local APIC: 0xfeexxxxx, with nothing above but the high destination bits
/// (KVM_CAP_X2APIC_API). KVM refuses the routing table of the whole VM for one that does not, so a guest must not get
/// it there; in hardware it would be a plain write to memory, which the IOMMU checks.
[[nodiscard]] constexpr bool deliverable(const MsiMessage& message) {
  return (message.address & 0xfff00000U) == 0xfee00000U && (message.address >> 32U & 0xffU) == 0;
}

/// Not synchronised. What does not change costs no system call.
class MessageVectors {
 public:
  using Report = std::function<void(const Error&)>;
  /// What the guest wants of a vector: its deliverable() message, or nothing while it is masked.
  using Wanted = std::optional<MsiMessage>;

  virtual ~MessageVectors() = default;
  [[nodiscard]] virtual bool enabled() const = 0;
  /// Turns the kind on with what is wanted of all vectors.
  virtual void enable(std::span<const Wanted> wanted) = 0;
  /// While enabled: vectors first.. become as wanted, in one batch. Vectors that do not exist are ignored.
  virtual void update(unsigned first, std::span<const Wanted> wanted) = 0;
  /// Turns the kind off; nothing is delivered afterwards. Pending interrupts are lost, as they are in hardware. What
  /// the next enable() would make again may be kept.
  virtual void disable() = 0;
  /// disable(), and nothing is kept: no irqfd, no route.
  virtual void release() = 0;
  /// True when a masked vector has an interrupt to deliver.
  [[nodiscard]] virtual bool pending(unsigned vector) = 0;
};

}  // namespace pcivm::vmm
