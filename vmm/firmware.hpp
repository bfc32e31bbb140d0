// SPDX-License-Identifier: GPL-2.0-or-later
// A machine that starts with a firmware (OVMF, SeaBIOS) in place of a kernel: its image below 4 GiB, the flash with its
// variables, what it is told by fw_cfg, and the chipset functions that it looks for. Nothing of this is in a machine
// that boots a kernel directly.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mapping.hpp"
#include "base/result.hpp"
#include "vmm/acpi_loader.hpp"
#include "vmm/cpu_topology.hpp"
#include "vmm/firmware_config.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/legacy/debug_port.hpp"
#include "vmm/legacy/flash.hpp"
#include "vmm/legacy/fw_cfg.hpp"
#include "vmm/memory_layout.hpp"
#include "vmm/memory_slots.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/q35.hpp"
#include "vmm/smbios.hpp"

namespace pcivm::vmm {

/// Where RAM ends, what may come of it included, at least 4 GiB: above it the firmware may place BARs.
[[nodiscard]] Gpa end_of_memory(const MemoryLayout& layout);

/// Built on the loop thread before the vCPUs run; outlives them.
class Firmware final {
 public:
  /// All of it outlives the firmware.
  struct Wiring {
    const GuestMemory& memory;
    IoBus& ports;
    IoBus& mmio;
    MemorySlots& slots;
    PciBus& bus;
    const MemoryLayout& layout;
    CpuTopology cpus{};
    SmbiosConfig smbios{};                    ///< of what the firmware is given as tables
    bool serial{};                            ///< a BIOS uses COM1 as its screen and keyboard
    std::optional<unsigned> boot_slot{};      ///< of the virtio disk to boot first
    std::vector<unsigned> hotplug_slots{};    ///< as in AcpiConfig
    std::optional<AcpiIommu> iommu{};         ///< as in AcpiConfig
    std::optional<AcpiMemory> acpi_memory{};  ///< as in AcpiConfig
    std::uint64_t hotplug_room{};             ///< bytes of addresses above all BARs
    unsigned address_bits{36};                ///< of the CPUs
    std::function<void()> reset;              ///< the guest asks for one; on vCPU threads
    std::function<void(Error)> report;        ///< carry on
  };
  [[nodiscard]] static Result<std::unique_ptr<Firmware>> create(FirmwareConfig config, Wiring wiring);
  Firmware(const Firmware&) = delete;
  Firmware& operator=(const Firmware&) = delete;
  ~Firmware();

  /// Before each boot, with a KVM VM that has no memory slots of it yet, and no vCPU running.
  [[nodiscard]] Result<void> load();
  /// To power-on state, with no vCPU running.
  void reset();

 private:
  Firmware(FirmwareConfig config, Wiring wiring);
  [[nodiscard]] Result<void> build();
  [[nodiscard]] Result<void> fill();
  [[nodiscard]] Result<void> add(IoBus& bus, std::uint64_t base, std::uint64_t length, IoHandler& handler,
                                 std::string name);
  [[nodiscard]] AcpiConfig acpi_config();
  [[nodiscard]] AcpiFiles acpi_files();
  void show_variables(bool array_mode);

  FirmwareConfig config_;
  Wiring wiring_;
  Mapping image_;
  Mapping variables_;
  FwCfg fw_cfg_;
  Q35HostBridge host_bridge_;
  Ich9LpcBridge lpc_bridge_;
  std::optional<Flash> flash_;
  std::optional<DebugPort> debug_;
  std::optional<SlotId> variables_slot_;  // while the flash reads as memory; the flash's lock guards it
  std::mutex acpi_mutex_;
  std::optional<AcpiFiles> acpi_;  // as built last; guarded by acpi_mutex_
  std::vector<std::pair<IoBus*, std::uint64_t>> added_;
};

}  // namespace pcivm::vmm
