// SPDX-License-Identifier: GPL-2.0-or-later
// What an assigned device works with.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.hpp"
#include "vmm/dma_ready.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/memory_slots.hpp"

namespace pcivm::vmm {

/// All of it outlives the device.
struct AssignedWiring {
  IoBus& memory;
  IoBus& ports;
  MemorySlots& slots;
  InterruptRoutes& routes;
  const DmaReady& dma;
  /// True when a memory BAR may be decoded at [address, address + length): inside a PCI window, so in neither RAM nor
  /// ECAM nor an interrupt controller. A guest may write any address into a BAR; one that may not is kept in the
  /// register and not decoded.
  std::function<bool(std::uint64_t address, std::uint64_t length)> may_decode;
  /// Told of what went wrong while the guest runs on; any thread, with the device's lock held: it must not call the
  /// device. A device reports a limited number of times, because a guest can cause reports.
  std::function<void(const Error&)> report;
};

}  // namespace pcivm::vmm
