// SPDX-License-Identifier: GPL-2.0-or-later
// The traces of the board: from the sources of a global system interrupt to both interrupt controllers.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <mutex>

#include "vmm/interrupts.hpp"

namespace pcivm::vmm {

/// A GSI is asserted while any of its sources is (wired OR). Any thread. Lock order: the source's device, the wire, the
/// interrupt controller.
class InterruptWires final {
 public:
  /// Receives each change of a GSI, one at a time for each GSI, with that wire locked: it must not touch a source.
  using Sink = std::function<void(Gsi, bool asserted)>;
  explicit InterruptWires(Sink sink) : sink_{std::move(sink)} {}

  /// A new source at `gsi` (0..23, others are connected nowhere), lowered; lives as long as this object. Call once for
  /// each source and keep the reference.
  [[nodiscard]] InterruptLine& connect(Gsi gsi);

 private:
  struct Wire {
    std::mutex mutex;
    unsigned asserted{};  // sources that assert; guarded by mutex
  };
  class Source final : public InterruptLine {
   public:
    Source(InterruptWires& wires, Gsi gsi) : wires_{wires}, gsi_{gsi} {}
    void set(bool asserted) override;

   private:
    InterruptWires& wires_;
    Gsi gsi_;
    bool asserted_{};  // guarded by the wire's mutex
  };

  Sink sink_;
  std::array<Wire, kIoapicPins> wires_;
  std::mutex mutex_;
  std::deque<Source> sources_;  // addresses stay; guarded by mutex_
};

}  // namespace pcivm::vmm
