// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_dsdt.hpp"

#include <array>

#include <fmt/format.h>

#include "vmm/hotplug_slots.hpp"
#include "vmm/legacy/acpi_pm.hpp"

namespace pcivm::vmm {

namespace {

namespace port = platform::port;
namespace gsi = platform::gsi;
using aml::Bytes;

constexpr unsigned kSlots = 32;
constexpr unsigned kPins = 4;

Bytes isa_device(std::string_view path, std::string_view id, const Bytes& resources) {
  return aml::device(path, aml::join({aml::name("_HID", aml::eisa_id(id)), aml::name("_CRS", resources)}));
}

// _PRT (6.2.13): every function of a slot, pin, no link device, the GSI itself.
Bytes interrupt_routing() {
  std::vector<Bytes> rows;
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    for (unsigned pin = 0; pin < kPins; ++pin) {
      const std::array row{aml::integer(slot << 16U | 0xffffU), aml::integer(pin), aml::integer(0),
                           aml::integer(gsi::intx(slot, pin))};
      rows.push_back(aml::package(row));
    }
  }
  return aml::package(rows);
}

aml::resource::Range range(const platform::Window& window) {
  return {.base = window.base.value, .length = window.length};
}

std::string slot_name(unsigned slot) { return fmt::format("S{:02X}_", slot); }

// A slot whose device may go: _EJ0 (6.3.3) lets go of it, _OST (6.3.5) says what became of a notification, with the
// event's lower byte and the status in one write.
Bytes hotplug_slot(unsigned slot) {
  const auto event = aml::shift_left(aml::bit_and(aml::argument(0), aml::integer(0xff)), aml::integer(16));
  const auto status = aml::bit_and(aml::argument(1), aml::integer(0xffff));
  const auto answer =
      aml::bit_or(aml::bit_or(event, status), aml::integer(std::uint64_t{slot} << 24U), aml::name_string("HPAN"));
  return aml::device(slot_name(slot),
                     aml::join({
                         aml::name("_ADR", aml::integer(std::uint64_t{slot} << 16U)),
                         aml::name("_SUN", aml::integer(slot)),
                         aml::method("_EJ0", 1, aml::store(aml::integer(1U << slot), aml::name_string("HPEJ"))),
                         aml::method("_OST", 3, answer),
                     }));
}

// Device check (1) where something was plugged in, eject request (3) where something is wanted back (5.6.6).
Bytes hotplug_event(std::span<const unsigned> slots) {
  auto body = Bytes{};
  for (const auto& [field, value] : {std::pair{"HPUP", 1U}, std::pair{"HPDN", 3U}}) {
    body = aml::join({body, aml::store(aml::name_string(field), aml::local(0))});
    for (const auto slot : slots) {
      body = aml::join({body, aml::when(aml::bit_and(aml::local(0), aml::integer(1U << slot)),
                                        aml::notify(slot_name(slot), value))});
    }
  }
  return aml::method("HPEV", 0, body);
}

Bytes hotplug(const AcpiConfig& config) {
  if (config.hotplug_slots.empty()) return {};
  auto all = aml::join({aml::port_region("HPRG", port::kHotplug, HotplugSlots::kLength),
                        aml::dword_fields("HPRG", {"HPUP", "HPDN", "HPEJ", "HPAN"})});
  for (const auto slot : config.hotplug_slots) all = aml::join({all, hotplug_slot(slot)});
  return aml::join({all, hotplug_event(config.hotplug_slots)});
}

// A generic event device (5.6.9): an interrupt of its own, so that the fixed hardware stays as it is.
Bytes hotplug_interrupt(const AcpiConfig& config) {
  if (config.hotplug_slots.empty()) return {};
  return aml::device("GED0", aml::join({
                                 aml::name("_HID", aml::string("ACPI0013")),
                                 aml::name("_UID", aml::integer(0)),
                                 aml::name("_CRS", aml::resources({aml::resource::level_interrupt(gsi::kHotplug)})),
                                 aml::method("_EVT", 1, aml::name_string("^^PCI0.HPEV")),
                             }));
}

Bytes host_bridge(const AcpiConfig& config) {
  namespace resource = aml::resource;
  const auto window64 = config.pci_window64 ? resource::memory_window64(range(*config.pci_window64)) : Bytes{};
  return aml::device("PCI0", aml::join({
                                 aml::name("_HID", aml::eisa_id("PNP0A08")),
                                 aml::name("_CID", aml::eisa_id("PNP0A03")),
                                 aml::name("_SEG", aml::integer(0)),
                                 aml::name("_BBN", aml::integer(0)),
                                 aml::name("_UID", aml::integer(0)),
                                 aml::name("_CRS", aml::resources({
                                                       resource::bus_numbers(0, platform::kPciBuses),
                                                       resource::io(port::kPciConfig, 8),
                                                       resource::io_window(port::kPciWindow, port::kPciWindowLength),
                                                       resource::memory_window32(range(config.pci_window32)),
                                                       window64,
                                                   })),
                                 aml::name("_PRT", interrupt_routing()),
                                 // Grants whatever control the guest asks for: no firmware competes with it (6.2.11).
                                 aml::method_returning_argument("_OSC", 4, 3),
                                 hotplug(config),
                             }));
}

// What no driver claims but nothing may be placed on: ECAM, which Linux wants to find reserved here before it uses it
// (arch/x86/pci/mmconfig-shared.c), and the ports of the fixed hardware.
Bytes motherboard(const AcpiConfig& config) {
  namespace resource = aml::resource;
  const auto ecam = config.ecam ? resource::fixed_memory32(static_cast<std::uint32_t>(config.ecam->value),
                                                           static_cast<std::uint32_t>(platform::kEcamLength))
                                : Bytes{};
  return isa_device("MBRD", "PNP0C02",
                    aml::resources({
                        ecam,
                        resource::io(port::kAcpiPm, AcpiPm::kLength),
                        resource::io(port::kPost, 1),
                        resource::io(port::kSystemB, 1),
                        resource::io(port::kSystemA, 1),
                        resource::io(port::kElcr, 2),
                    }));
}

Bytes serial_port() {
  namespace resource = aml::resource;
  return aml::device(
      "COM1",
      aml::join({aml::name("_HID", aml::eisa_id("PNP0501")), aml::name("_UID", aml::integer(1)),
                 aml::name("_CRS", aml::resources({resource::io(port::kCom1, 8), resource::irq(gsi::kCom1)}))}));
}

Bytes clock() {
  namespace resource = aml::resource;
  return isa_device("RTC0", "PNP0B00", aml::resources({resource::io(port::kRtc, 2), resource::irq(gsi::kRtc)}));
}

Bytes keyboard() {
  namespace resource = aml::resource;
  return isa_device("KBD0", "PNP0303",
                    aml::resources({resource::io(port::kKeyboardData, 1), resource::io(port::kKeyboardCommand, 1),
                                    resource::irq(gsi::kKeyboard)}));
}

// Without it Linux does not look for an auxiliary port (i8042-acpipnpio.h, i8042_pnp_init).
Bytes mouse() {
  namespace resource = aml::resource;
  return isa_device("MOU0", "PNP0F13", aml::resources({resource::irq(gsi::kMouse)}));
}

// SLP_TYP of power-off for PM1a and PM1b (7.4.2).
Bytes soft_off() {
  const std::array types{aml::integer(AcpiPm::kS5), aml::integer(AcpiPm::kS5), aml::integer(0), aml::integer(0)};
  return aml::name("_S5_", aml::package(types));
}

}  // namespace

Bytes dsdt_body(const AcpiConfig& config) {
  return aml::join({
      aml::scope("_SB_",
                 aml::join({host_bridge(config), motherboard(config), serial_port(), clock(),
                            config.keyboard ? aml::join({keyboard(), mouse()}) : Bytes{}, hotplug_interrupt(config)})),
      soft_off(),
  });
}

}  // namespace pcivm::vmm
