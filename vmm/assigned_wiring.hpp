// SPDX-License-Identifier: GPL-2.0-or-later
// What an assigned device works with.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vmm/dma_ready.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/memory_slots.hpp"

namespace pcivm::vmm {

/// As vfio::DmaSpace has them.
struct PeerMapping {
  std::function<Result<void>(const vfio::DmaRun&)> map;
  std::function<Result<void>(Iova iova, std::uint64_t length)> unmap;
};

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
  /// Where its BARs are mapped as long as they are decoded, so that the VM's other devices reach them (peer to peer);
  /// any thread, with the device's lock held. None: nowhere.
  std::optional<PeerMapping> peers{};
};

}  // namespace pcivm::vmm
