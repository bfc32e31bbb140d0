// SPDX-License-Identifier: GPL-2.0-or-later
// The ACPI tables of the machine (ACPI 6.5): what they say is computed from platform.hpp and a few numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

/// Slots of bus 0: that of the virtio-iommu, and those whose devices are behind it, ascending.
struct AcpiIommu {
  unsigned slot{};
  std::vector<unsigned> behind;
};

/// RAM that is there, and where more of it may come.
struct AcpiMemory {
  std::vector<GuestMemory::Range> ram;
  GuestMemory::Range blocks;
};

struct AcpiConfig {
  Gpa address = platform::kAcpiTables;  ///< where the bytes will lie; 16-byte aligned, below 4 GiB
  std::uint64_t room = platform::kAcpiRoom;
  std::vector<std::uint32_t> apic_ids;  ///< one for each vCPU, the first is the boot CPU
  platform::Window pci_window32 = platform::kPciWindow32;
  std::optional<platform::Window> pci_window64;
  std::optional<Gpa> ecam = platform::kEcam;  ///< below 4 GiB; none: no MCFG
  bool keyboard{true};                        ///< agrees with ChipsetOptions
  /// Slots of bus 0 whose devices come and go while the guest runs (HotplugSlots); empty: none, and nothing of it is
  /// in the tables.
  std::vector<unsigned> hotplug_slots{};
  std::optional<AcpiIommu> iommu{};  ///< none: no VIOT
  /// None: no SRAT. With it a guest knows from the start how far its addresses reach, and keeps room for the DMA of
  /// devices that reach less.
  std::optional<AcpiMemory> memory{};
};

/// A part of AcpiTables::bytes.
struct AcpiPart {
  std::uint32_t offset{};
  std::uint32_t size{};
};

struct AcpiTables {
  std::vector<std::byte> bytes;  ///< copy to `address`; RSDP, XSDT, FADT, FACS, DSDT, MADT, MCFG, VIOT, SRAT
  Gpa address;
  Gpa rsdp;                             ///< for boot_params.acpi_rsdp_addr and hvm_start_info.rsdp_paddr
  std::vector<AcpiPart> pointers;       ///< fields that hold addresses, the RSDP's left out
  std::vector<AcpiPart> with_pointers;  ///< the tables that they are in
};

/// Pure. Errc::invalid: no vCPU, a misaligned address, a window that is empty or wraps, more bytes than `room`.
[[nodiscard]] Result<AcpiTables> build_acpi_tables(const AcpiConfig& config);

}  // namespace pcivm::vmm
