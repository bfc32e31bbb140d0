// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/interrupt_wires.hpp"

namespace pcivm::vmm {

InterruptLine& InterruptWires::connect(Gsi gsi) {
  const std::scoped_lock lock{mutex_};
  return sources_.emplace_back(*this, gsi);
}

void InterruptWires::Source::set(bool asserted) {
  if (gsi_ >= kIoapicPins) return;
  auto& wire = wires_.wires_[gsi_];
  const std::scoped_lock lock{wire.mutex};
  if (asserted == asserted_) return;
  asserted_ = asserted;
  wire.asserted += asserted ? 1U : ~0U;  // minus one
  // The wire changed when it now has exactly its first, or no longer has its last asserting source.
  if (wire.asserted == (asserted ? 1U : 0U)) wires_.sink_(gsi_, asserted);
}

}  // namespace pcivm::vmm
