// SPDX-License-Identifier: GPL-2.0-or-later
// PCI bus 0 as the guest finds it: memory-mapped configuration (PCI Express Base 6.0, 7.2.2) and configuration
// mechanism 1 (PCI 3.0, 3.2.2.3.2), with a host bridge at 00:00.0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "base/result.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/pci_device.hpp"

namespace pcivm::vmm {

/// Built before the vCPUs run, then used from their threads. An access that names no function, crosses a dword or has
/// an odd size reads all-ones and writes nothing; 8 bytes are two dwords.
class PciBus final {
 public:
  static constexpr unsigned kSlots = 32;

  PciBus();
  ~PciBus();
  PciBus(const PciBus&) = delete;
  PciBus& operator=(const PciBus&) = delete;

  /// Puts `device` (borrowed, outlives the bus's use) at function 0 of the next free slot, which is returned (1..31).
  /// Errc::invalid when all are taken.
  [[nodiscard]] Result<unsigned> add(PciDevice& device);

  /// Claims the ECAM range and ports 0xcf8..0xcff.
  [[nodiscard]] Result<void> connect(IoBus& ports, IoBus& memory);

  /// One access to the configuration space of a slot's function 0; what both mechanisms come down to.
  void config_read(unsigned devfn, std::uint16_t offset, std::span<std::byte> data);
  void config_write(unsigned devfn, std::uint16_t offset, std::span<const std::byte> data);

 private:
  struct Slot {
    PciDevice* device{};
    std::mutex mutex;  // one configuration access at a time for each function
  };
  class Ecam;
  class Ports;

  [[nodiscard]] Slot* find(unsigned devfn);

  std::array<Slot, kSlots> slots_;
  std::unique_ptr<PciDevice> host_bridge_;
  std::unique_ptr<Ecam> ecam_;
  std::unique_ptr<Ports> ports_;
};

}  // namespace pcivm::vmm
