// SPDX-License-Identifier: GPL-2.0-or-later
// Where everything lies in the guest's address spaces and which interrupt it has: the one place that the chipset, the
// PCI bus, the memory layout and the ACPI tables agree through.
#pragma once

#include <cstdint>

#include "base/units.hpp"
#include "vmm/interrupts.hpp"

namespace pcivm::vmm::platform {

/// A half-open range of guest physical addresses.
struct Window {
  Gpa base;
  std::uint64_t length{};
  [[nodiscard]] constexpr Gpa end() const { return base + length; }
};

// Guest physical addresses, ascending.
inline constexpr Gpa kAcpiTables{0xe0000};  ///< RSDP first; inside the range that firmware would use
inline constexpr std::uint64_t kAcpiRoom = 0x10000;
inline constexpr Gpa kMpPointer{0xf0000};  ///< 16 bytes, where Linux looks for it soonest of those that are no RAM
inline constexpr Gpa kSmbios{0xf0010};     ///< the entry point first; where kernels without EFI look for it
inline constexpr std::uint64_t kSmbiosRoom = 0xdff0;
inline constexpr Gpa kMpTable{0xfe000};  ///< up to 1 MiB
inline constexpr std::uint64_t kMpRoom = 0x2000;
inline constexpr Gpa kLowRamEnd{0xc0000000};  ///< RAM above this much continues at kHighRam
inline constexpr Window kPciWindow32{.base = {0xc0000000}, .length = 0x20000000};
inline constexpr Gpa kEcam{0xe0000000};
inline constexpr unsigned kPciBuses = 1;
inline constexpr std::uint64_t kEcamLength = kPciBuses * kMiB;
inline constexpr Gpa kIoapic{0xfec00000};
inline constexpr std::uint64_t kIoapicLength = 0x1000;
inline constexpr Gpa kLocalApic{0xfee00000};
inline constexpr Gpa kHighRam{0x100000000};  ///< the 64-bit PCI window follows its end; core chooses it

/// I/O ports.
namespace port {
inline constexpr std::uint16_t kPicMaster = 0x20;  ///< 2 ports
inline constexpr std::uint16_t kPicSlave = 0xa0;   ///< 2 ports
inline constexpr std::uint16_t kElcr = 0x4d0;      ///< 2 ports
inline constexpr std::uint16_t kPit = 0x40;        ///< 4 ports
inline constexpr std::uint16_t kSystemB = 0x61;    ///< gate and output of PIT counter 2, speaker, refresh
inline constexpr std::uint16_t kKeyboardData = 0x60;
inline constexpr std::uint16_t kKeyboardCommand = 0x64;
inline constexpr std::uint16_t kRtc = 0x70;  ///< 2 ports
inline constexpr std::uint16_t kPost = 0x80;
inline constexpr std::uint16_t kSystemA = 0x92;     ///< fast A20 and reset
inline constexpr std::uint16_t kCom1 = 0x3f8;       ///< 8 ports
inline constexpr std::uint16_t kDebug = 0x402;      ///< of a firmware
inline constexpr std::uint16_t kFwCfg = 0x510;      ///< 12 ports: see FwCfg
inline constexpr std::uint16_t kAcpiPm = 0x600;     ///< 16 ports: see AcpiPm
inline constexpr std::uint16_t kHotplug = 0x620;    ///< 16 ports: see HotplugSlots
inline constexpr std::uint16_t kPciConfig = 0xcf8;  ///< 8 ports, the PCI bus's
inline constexpr std::uint16_t kPciWindow = 0x1000;
inline constexpr std::uint32_t kPciWindowLength = 0xf000;
}  // namespace port

/// Global system interrupts: pins of the IOAPIC. 0..15 are ISA IRQs too, except that IRQ 0 arrives at GSI 2.
namespace gsi {
inline constexpr Gsi kTimer = 2;
inline constexpr Gsi kKeyboard = 1;
inline constexpr Gsi kCom1 = 4;
inline constexpr Gsi kRtc = 8;
inline constexpr Gsi kHotplug = 10;  ///< level, active high
inline constexpr Gsi kMouse = 12;
inline constexpr Gsi kSci = 9;  ///< level, active high
inline constexpr Gsi kFirstIntx = 16;
/// INTA..INTD (pin 0..3) of a slot on bus 0: level, active low as PCI has it, 16..23.
constexpr Gsi intx(unsigned slot, unsigned pin) { return kFirstIntx + (slot + pin) % 8; }
}  // namespace gsi

/// Slots of bus 0 that are kept for devices that come later: the first so many of these. What is there at the start
/// has other slots, so a device's address in the guest does not move when the VM is given more or fewer.
inline constexpr unsigned kFirstHotplugSlot = 16;
inline constexpr unsigned kMostHotplugSlots = 15;
/// One bit for each that is kept when there are `count`.
constexpr std::uint32_t hotplug_slots(unsigned count) { return ((1U << count) - 1U) << kFirstHotplugSlot; }

/// Where memory BARs may be decoded.
struct PciWindows {
  Window low = kPciWindow32;
  Window high;  ///< above 4 GiB, empty when no BAR is there
  [[nodiscard]] constexpr bool contain(std::uint64_t address, std::uint64_t length) const {
    const auto inside = [&](const Window& window) {
      return address >= window.base.value && fits(address - window.base.value, length, window.length);
    };
    return inside(low) || inside(high);
  }
};

// With a firmware, which places BARs and ECAM itself, where it wants: all between RAM and the interrupt controllers.
inline constexpr Gpa kFirmwareLowRamEnd{0x80000000};
inline constexpr Window kFirmwareWindow32{.base = kFirmwareLowRamEnd, .length = 0x7ec00000};
inline constexpr Gpa kFirmwareEnd{0x100000000};            ///< the image ends here, where CPUs start
inline constexpr std::uint64_t kFirmwareMost = 0x1000000;  ///< the largest image with its variables
inline constexpr Gpa kFirmwareCopyEnd{0x100000};           ///< its last part lies below 1 MiB too
inline constexpr std::uint64_t kFirmwareCopy = 0x20000;

}  // namespace pcivm::vmm::platform
