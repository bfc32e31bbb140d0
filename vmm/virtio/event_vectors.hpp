// SPDX-License-Identifier: GPL-2.0-or-later
// The message interrupts of a device of ours: each vector is an eventfd that the device signals, at any time, and that
// KVM turns into the guest's interrupt while the vector is not masked.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "vmm/interrupts.hpp"
#include "vmm/message_vectors.hpp"

namespace pcivm::vmm {

/// A masked vector is detached; what is signalled meanwhile stays in its eventfd, where KVM finds it when the vector is
/// attached again. So whoever signals need not know. Route before attach, detach before the route changes.
class EventVectors final : public MessageVectors {
 public:
  /// `events` outlive the object, as do the others.
  EventVectors(std::span<const FdRef> events, InterruptRoutes& routes, const Report& report);
  EventVectors(const EventVectors&) = delete;
  EventVectors& operator=(const EventVectors&) = delete;
  ~EventVectors() override;

  [[nodiscard]] bool enabled() const override { return enabled_; }
  void enable(std::span<const Wanted> wanted) override;
  void update(unsigned first, std::span<const Wanted> wanted) override;
  void disable() override;
  void release() override { disable(); }
  [[nodiscard]] bool pending(unsigned vector) override;

 private:
  struct Vector {
    int event{};
    std::optional<Gsi> gsi;
    MsiMessage message;
    bool attached{};
  };
  void detach(Vector& vector);
  [[nodiscard]] bool route(Vector& vector, const MsiMessage& message);
  void report(Result<void> outcome) const;

  InterruptRoutes& routes_;
  const Report& report_;
  bool enabled_{};
  std::vector<Vector> vectors_;
};

}  // namespace pcivm::vmm
