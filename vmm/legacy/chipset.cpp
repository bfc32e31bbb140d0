// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/chipset.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmm/legacy/acpi_pm.hpp"
#include "vmm/legacy/i8042.hpp"
#include "vmm/legacy/interrupt_wires.hpp"
#include "vmm/legacy/ioapic.hpp"
#include "vmm/legacy/pic.hpp"
#include "vmm/legacy/pit.hpp"
#include "vmm/legacy/port_range.hpp"
#include "vmm/legacy/post_port.hpp"
#include "vmm/legacy/rtc.hpp"
#include "vmm/legacy/serial.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

namespace gsi = platform::gsi;
namespace port = platform::port;

constexpr Gsi kIsaIrqs = 16;

// The reverse of the interrupt source override in the MADT: ISA IRQ 0 is GSI 2, and GSI 0 is nobody's.
std::optional<unsigned> isa_irq(Gsi number) {
  if (number == gsi::kTimer) return 0;
  if (number == 0 || number >= kIsaIrqs) return std::nullopt;
  return number;
}

}  // namespace

// In the order of wiring; destroyed in reverse: timers first, so that no callback comes into a dead device.
struct Chipset::Parts {
  Parts(InterruptRoutes& routes, IoBus& ports, IoBus& memory, ChipsetCallbacks called, const ChipsetOptions& options);
  ~Parts();
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  [[nodiscard]] Result<void> start_timers(EventLoop& loop);
  [[nodiscard]] Result<void> put_on_buses();
  [[nodiscard]] Result<void> add(IoBus& bus, std::uint64_t base, std::uint64_t length, IoHandler& handler,
                                 std::string name);
  void route(Gsi number, bool asserted);

  IoBus& port_bus;
  IoBus& memory_bus;
  ChipsetCallbacks callbacks;
  Pic pic;
  Ioapic ioapic;
  InterruptWires wires;
  Pit pit;
  Rtc rtc;
  Serial serial;
  I8042 keyboard;
  AcpiPm pm;
  PostPort post;

  PortRange<Pic> pic_master{pic, port::kPicMaster, 2};
  PortRange<Pic> pic_slave{pic, port::kPicSlave, 2};
  PortRange<Pic> elcr{pic, port::kElcr, 2};
  PortRange<Pit> pit_counters{pit, port::kPit, 4};
  PortRange<Pit> system_b{pit, port::kSystemB, 1};
  PortRange<Rtc> rtc_ports{rtc, port::kRtc, 2};
  PortRange<Serial> com1{serial, port::kCom1, 8};
  PortRange<I8042> keyboard_data{keyboard, port::kKeyboardData, 1};
  PortRange<I8042> keyboard_command{keyboard, port::kKeyboardCommand, 1};
  PortRange<I8042> system_a{keyboard, port::kSystemA, 1};
  PortRange<PostPort> post_port{post, port::kPost, 1};
  std::vector<std::pair<IoBus*, std::uint64_t>> added;

  std::unique_ptr<LoopTimer> pit_timer;
  std::unique_ptr<LoopTimer> rtc_periodic;
  std::unique_ptr<LoopTimer> rtc_second;
  std::unique_ptr<LoopTimer> pm_timer;
};

Chipset::Parts::Parts(InterruptRoutes& routes, IoBus& ports, IoBus& memory, ChipsetCallbacks called,
                      const ChipsetOptions& options)
    : port_bus{ports},
      memory_bus{memory},
      callbacks{std::move(called)},
      pic{{.on_interrupt = callbacks.extint, .on_mask_change = [this] { pit.mask_changed(); }}},
      ioapic{routes, {.on_mask_change = [this] { pit.mask_changed(); }, .report = callbacks.report}},
      wires{[this](Gsi number, bool asserted) { route(number, asserted); }},
      pit{{.irq0 = wires.connect(gsi::kTimer),
           .now = options.clocks.monotonic,
           .irq_wanted = [this] { return !pic.masked(0) || !ioapic.masked(gsi::kTimer); }}},
      rtc{wires.connect(gsi::kRtc), options.clocks},
      serial{wires.connect(gsi::kCom1), {.output = callbacks.serial_output, .can_receive = callbacks.serial_ready}},
      keyboard{{.irq1 = wires.connect(gsi::kKeyboard),
                .irq12 = wires.connect(gsi::kMouse),
                .reset = callbacks.reset,
                .keyboard = options.keyboard}},
      pm{{.sci = wires.connect(gsi::kSci),
          .now = options.clocks.monotonic,
          .power_off = callbacks.power_off,
          .reset = callbacks.reset,
          .type_0_is_s5 = options.firmware}} {}

Chipset::Parts::~Parts() {
  for (const auto& [bus, base] : added) bus->remove(base);
}

void Chipset::Parts::route(Gsi number, bool asserted) {
  if (const auto irq = isa_irq(number)) pic.set(*irq, asserted);
  ioapic.set(number, asserted);
}

Result<void> Chipset::Parts::start_timers(EventLoop& loop) {
  pit_timer = TRY(LoopTimer::create(loop, [this] { pit.tick(); }));
  rtc_periodic = TRY(LoopTimer::create(loop, [this] { rtc.periodic_tick(); }));
  rtc_second = TRY(LoopTimer::create(loop, [this] { rtc.second_tick(); }));
  pm_timer = TRY(LoopTimer::create(loop, [this] { pm.timer_tick(); }));
  pit.use(*pit_timer);
  rtc.use(*rtc_periodic, *rtc_second);
  pm.use(*pm_timer);
  return {};
}

Result<void> Chipset::Parts::add(IoBus& bus, std::uint64_t base, std::uint64_t length, IoHandler& handler,
                                 std::string name) {
  TRY(bus.add(base, length, handler, std::move(name)));
  added.emplace_back(&bus, base);
  return {};
}

Result<void> Chipset::Parts::put_on_buses() {
  TRY(add(port_bus, port::kPicMaster, 2, pic_master, "PIC"));
  TRY(add(port_bus, port::kPicSlave, 2, pic_slave, "second PIC"));
  TRY(add(port_bus, port::kElcr, 2, elcr, "ELCR"));
  TRY(add(port_bus, port::kPit, 4, pit_counters, "PIT"));
  TRY(add(port_bus, port::kSystemB, 1, system_b, "system control port B"));
  TRY(add(port_bus, port::kRtc, 2, rtc_ports, "RTC"));
  TRY(add(port_bus, port::kCom1, 8, com1, "COM1"));
  TRY(add(port_bus, port::kKeyboardData, 1, keyboard_data, "keyboard data"));
  TRY(add(port_bus, port::kKeyboardCommand, 1, keyboard_command, "keyboard command"));
  TRY(add(port_bus, port::kSystemA, 1, system_a, "system control port A"));
  TRY(add(port_bus, port::kPost, 1, post_port, "POST port"));
  TRY(add(port_bus, port::kAcpiPm, AcpiPm::kLength, pm, "ACPI PM"));
  TRY(add(memory_bus, platform::kIoapic.value, platform::kIoapicLength, ioapic, "IOAPIC"));
  return {};
}

Chipset::Chipset(std::unique_ptr<Parts> parts) : parts_{std::move(parts)} {}

Chipset::~Chipset() = default;

Result<std::unique_ptr<Chipset>> Chipset::create(EventLoop& loop, InterruptRoutes& routes, IoBus& ports, IoBus& memory,
                                                 ChipsetCallbacks callbacks, ChipsetOptions options) {
  auto parts = std::make_unique<Parts>(routes, ports, memory, std::move(callbacks), options);
  TRY_IN(parts->start_timers(loop), "chipset");
  TRY_IN(parts->put_on_buses(), "chipset");
  return std::unique_ptr<Chipset>{new Chipset{std::move(parts)}};
}

InterruptLine& Chipset::connect(Gsi gsi) { return parts_->wires.connect(gsi); }

void Chipset::eoi(std::uint8_t vector) { parts_->ioapic.eoi(vector); }

void Chipset::on_eoi(Gsi gsi, std::function<void()> listener) { parts_->ioapic.on_eoi(gsi, std::move(listener)); }

void Chipset::on_unmask(Gsi gsi, std::function<void()> listener) { parts_->ioapic.on_unmask(gsi, std::move(listener)); }

Pic& Chipset::pic() { return parts_->pic; }

Serial& Chipset::serial() { return parts_->serial; }

void Chipset::press_power_button() { parts_->pm.press_power_button(); }

void Chipset::reset() {
  parts_->pic.reset();
  parts_->ioapic.reset();
  parts_->pit.reset();
  parts_->rtc.reset();
  parts_->serial.reset();
  parts_->keyboard.reset();
  parts_->pm.reset();
}

}  // namespace pcivm::vmm
