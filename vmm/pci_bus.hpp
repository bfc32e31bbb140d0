// SPDX-License-Identifier: GPL-2.0-or-later
// PCI bus 0 as the guest finds it: memory-mapped configuration (PCI Express Base 6.0, 7.2.2) and configuration
// mechanism 1 (PCI 3.0, 3.2.2.3.2), with a host bridge at 00:00.0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/pci_device.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

/// Built before the vCPUs run, but for insert() and remove(), then used from their threads. An access that names no
/// function, crosses a dword or has an odd size reads all-ones and writes nothing; 8 bytes are two dwords.
class PciBus final {
 public:
  static constexpr unsigned kSlots = 32;

  /// With a host bridge that has nothing to configure.
  PciBus();
  ~PciBus();
  PciBus(const PciBus&) = delete;
  PciBus& operator=(const PciBus&) = delete;

  /// Puts `device` (borrowed, outlives the bus's use) at function 0 of the next free slot, which is returned (1..31).
  /// Errc::invalid when all are taken.
  [[nodiscard]] Result<unsigned> add(PciDevice& device);
  /// Keeps the first `count` slots from platform::kFirstHotplugSlot for insert(). Before add().
  void keep_for_hotplug(unsigned count) { kept_ = count; }
  /// Puts `device` into that slot while the guest runs, or takes what is there away; any thread. A slot without a
  /// device reads all-ones. Errc::busy when there is one. After remove() the device is still used by an access in
  /// progress, see IoBus::await_accesses().
  [[nodiscard]] Result<void> insert(unsigned slot, PciDevice& device);
  void remove(unsigned slot);
  /// Puts `device` at function 0 of that slot, in place of what is there: parts of a chipset. Before add().
  void place(unsigned slot, PciDevice& device) { slots_.at(slot).device = &device; }

  /// Claims ports 0xcf8..0xcff, and the ECAM range when there is one. `reset`: the guest writes the reset control
  /// register at 0xcf9, which exists only with it; called on vCPU threads.
  [[nodiscard]] Result<void> connect(IoBus& ports, IoBus& memory, std::optional<Gpa> ecam = platform::kEcam,
                                     std::function<void()> reset = {});
  /// Elsewhere, or nowhere. After connect(); any thread.
  [[nodiscard]] Result<void> move_ecam(std::optional<Gpa> ecam);

  /// The least range above 4 GiB that all memory BARs there lie in, as they are programmed; empty without any. Reads
  /// configuration space, so it may wait until devices are ready.
  [[nodiscard]] platform::Window bars_above_4g();

  /// One access to the configuration space of a slot's function 0; what both mechanisms come down to.
  void config_read(unsigned devfn, std::uint16_t offset, std::span<std::byte> data);
  void config_write(unsigned devfn, std::uint16_t offset, std::span<const std::byte> data);

 private:
  struct Slot {
    PciDevice* device{};  // guarded by mutex once the vCPUs run
    std::mutex mutex;     // one configuration access at a time for each function
  };
  class Ecam;
  class Ports;

  [[nodiscard]] Slot* find(unsigned devfn);
  void follow_freed_room();
  [[nodiscard]] std::vector<BarRequest> bars_in(unsigned slot);

  std::array<Slot, kSlots> slots_;
  unsigned kept_{};
  IoBus* ports_bus_{};
  IoBus* memory_{};
  std::mutex ecam_mutex_;
  std::optional<Gpa> ecam_at_;  // guarded by ecam_mutex_
  std::unique_ptr<PciDevice> host_bridge_;
  std::unique_ptr<Ecam> ecam_;
  std::unique_ptr<Ports> ports_;
};

}  // namespace pcivm::vmm
