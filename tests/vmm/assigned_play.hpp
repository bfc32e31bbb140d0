// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest: bytes become accesses to an assigned device, and what must hold afterwards is checked. Driven by
// libFuzzer (tests/fuzz/assigned_fuzz.cpp) and by seeded random input in the unit tests.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tests/vmm/assigned_rig.hpp"

namespace pcivm::test {

class AssignedPlay final {
 public:
  explicit AssignedPlay(std::span<const std::uint8_t> input) : input_{input} {
    rig_.facts.bars.push_back({.index = 2, .address = 0, .size = 32, .io = true, .wide = false, .prefetchable = false});
    rig_.fake.regions[2] = {.size = 32};
    rig_.fake.fixed_count = (next() & 1U) != 0;
    rig_.ready();
    rig_.device->place_bar(2, 0xc000);
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      step();
      if (const auto wrong = check(); !wrong.empty()) return wrong;
    }
    rig_.device->release();
    if (rig_.fake.slots() != 0) return "a slot is left after release";
    if (rig_.fake.irqfds() != 0) return "an irqfd is left after release";
    if (rig_.fake.routes() != 0) return "a route is left after release";
    return {};
  }

 private:
  std::uint8_t next() {
    if (input_.empty()) return 0;
    const auto byte = input_.front();
    input_ = input_.subspan(1);
    return byte;
  }
  std::uint32_t next32() {
    std::uint32_t value = next();
    // Small numbers, masks and addresses of the windows are more telling than noise.
    switch (next() % 6) {
      case 0: return value;
      case 1: return ~value;
      case 2: return AssignedRig::kLow + value * 0x1000;
      case 3: return 0xfee00000U + value;
      case 4: return value << 12U;
      default: return value << 24U | value << 8U | next();
    }
  }
  /// Registers that do something, and any other.
  unsigned register_offset() {
    constexpr unsigned kTelling[] = {PCI_COMMAND,
                                     PCI_COMMAND,
                                     PCI_BASE_ADDRESS_0,
                                     PCI_BASE_ADDRESS_1,
                                     PCI_BASE_ADDRESS_2,
                                     PCI_BASE_ADDRESS_3,
                                     FakeVfio::kMsix,
                                     FakeVfio::kPm + PCI_PM_CTRL,
                                     FakeVfio::kExpress + PCI_EXP_DEVCTL};
    const auto choice = next();
    if (choice % 16 < std::size(kTelling)) return kTelling[choice % 16] + choice / 64U;
    return choice * 16U + next() % 16U;
  }
  void step() {
    constexpr unsigned kWidths[] = {1, 2, 4, 4, 8, 3, 16, 8};
    const auto action = next();
    const auto width = kWidths[action / 32U];
    const auto small = width > 4 ? 4 : width;
    switch (action % 8) {
      case 0:
      case 1: rig_.write(register_offset(), small, next32()); break;
      case 2: (void)rig_.read(register_offset(), small); break;
      case 3: rig_.store(address(), width, next32() | std::uint64_t{next32()} << 32U); break;
      case 4: (void)rig_.load(address(), width); break;
      case 5: rig_.msix_control(std::uint32_t{next()} << 8U); break;
      case 6: rig_.fake.fire(VFIO_PCI_MSIX_IRQ_INDEX, next() % 4); break;
      default: rig_.set_message(next() % 3, next()); rig_.mask(next() % 3, (next() & 1U) != 0);
    }
  }
  std::uint64_t address() {
    const auto choice = next();
    const auto base = choice % 2 == 0 ? AssignedRig::kHigh : AssignedRig::kLow;
    return base + (choice / 2U % 8) * 0x1000 + next() % 64;
  }

  [[nodiscard]] std::string_view check() {
    for (const auto& [start, length] : rig_.fake.slot_ranges()) {
      if (!rig_.wiring.may_decode(start, length)) return "a slot lies outside the PCI windows";
      // Decode in the device and slots in the guest go together.
      if ((rig_.fake.config(PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) == 0) return "a slot without memory decode";
      if ((rig_.fake.config(FakeVfio::kPm + PCI_PM_CTRL, 2) & 3U) != 0) return "a slot outside D0";
    }
    for (const auto& entry : rig_.fake.take_log()) {
      if (entry.ends_with("unrouted")) return "an irqfd without a route";
      if (entry == "reset") return "a reset that nobody asked for";
    }
    if (rig_.fake.irqfds() > 3) return "more irqfds than vectors";
    if (rig_.reports.size() > 21) return "more reports than the limit";
    return {};
  }

  AssignedRig rig_;
  std::span<const std::uint8_t> input_;
};

}  // namespace pcivm::test
