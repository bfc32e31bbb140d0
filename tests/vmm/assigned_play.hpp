// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest with an assigned device: every kind of access.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tests/vmm/play.hpp"

namespace pcivm::test {

class AssignedPlay final {
 public:
  explicit AssignedPlay(std::span<const std::uint8_t> input) : input_{input} {
    rig_.facts.bars.push_back({.index = 2, .address = 0, .size = 32, .io = true, .wide = false, .prefetchable = false});
    rig_.fake.regions[2] = {.size = 32};
    rig_.fake.fixed_count = (input_.byte() & 1U) != 0;
    rig_.ready();
    rig_.device->place_bar(2, 0xc000);
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      step();
      if (const auto wrong = check(); !wrong.empty()) return wrong;
    }
    return left_behind(rig_);
  }

 private:
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
    const auto choice = input_.byte();
    if (choice % 16 < std::size(kTelling)) return kTelling[choice % 16] + choice / 64U;
    return choice * 16U + input_.byte() % 16U;
  }
  void step() {
    constexpr unsigned kWidths[] = {1, 2, 4, 4, 8, 3, 16, 8};
    const auto action = input_.byte();
    const auto width = kWidths[action / 32U];
    const auto small = width > 4 ? 4 : width;
    switch (action % 8) {
      case 0:
      case 1: rig_.write(register_offset(), small, input_.value()); break;
      case 2: (void)rig_.read(register_offset(), small); break;
      case 3: rig_.store(address(), width, input_.wide()); break;
      case 4: (void)rig_.load(address(), width); break;
      case 5: rig_.msix_control(std::uint32_t{input_.byte()} << 8U); break;
      case 6: rig_.fake.fire(VFIO_PCI_MSIX_IRQ_INDEX, input_.byte() % 4); break;
      default:
        rig_.set_message(input_.byte() % 3, input_.byte());
        rig_.mask(input_.byte() % 3, (input_.byte() & 1U) != 0);
    }
  }
  std::uint64_t address() {
    const auto choice = input_.byte();
    const auto base = choice % 2 == 0 ? AssignedRig::kHigh : AssignedRig::kLow;
    return base + (choice / 2U % 8) * 0x1000 + input_.byte() % 64;
  }

  [[nodiscard]] std::string_view check() {
    if (const auto wrong = broken(rig_); !wrong.empty()) return wrong;
    if (rig_.fake.irqfds() > 3) return "more irqfds than vectors";
    return {};
  }

  AssignedRig rig_;
  PlayInput input_;
};

}  // namespace pcivm::test
