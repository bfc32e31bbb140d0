// SPDX-License-Identifier: GPL-2.0-or-later
// A virtqueue from the device's side, whichever of the two layouts the driver chose (virtio 1.2, 2.7 and 2.8).
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/chain.hpp"

namespace pcivm::vmm {

/// Where the driver put a queue. Split: descriptor table, available ring, used ring. Packed: descriptor ring, driver
/// event suppression, device event suppression.
struct VirtioQueueSetup {
  std::uint16_t size{};
  Gpa descriptors{};
  Gpa driver{};
  Gpa device{};
};

/// Not synchronised: one thread at a time. The memory behind it is the guest's, who may write anything at any moment;
/// take() then fails or hands out other buffers in guest RAM, and nothing else happens.
class VirtioRing {
 public:
  /// Errc::invalid: size or addresses impossible. `memory` outlives the ring. `features` are the negotiated ones.
  [[nodiscard]] static Result<std::unique_ptr<VirtioRing>> create(const GuestMemory& memory,
                                                                  const VirtioQueueSetup& setup,
                                                                  std::uint64_t features);
  virtual ~VirtioRing() = default;

  /// The next chain that the driver made available; false: there is none. Errc::invalid: the driver broke the
  /// specification; the ring is of no use any more.
  [[nodiscard]] virtual Result<bool> take(VirtioChain& chain) = 0;
  /// Gives a taken chain back, in any order, with `written` bytes at the front of its writable buffers.
  virtual void give(const VirtioChain& chain, std::uint32_t written) = 0;
  /// Shows the driver what was given. True when it wants an interrupt for that.
  [[nodiscard]] virtual bool publish() = 0;

  /// Asks for a signal when the next chain comes. True: one came meanwhile, so take() again.
  [[nodiscard]] virtual bool ask_for_signal() = 0;
  /// No signals while the queue is being worked on. A hint.
  virtual void want_no_signal() = 0;
};

}  // namespace pcivm::vmm
