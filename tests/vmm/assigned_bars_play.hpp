// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest that moves the BARs of two functions: over each other, RAM, ECAM and interrupt controllers, with
// decode on and off, in D3 and through resets. What is decoded is what the registers say.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tests/vmm/play.hpp"
#include "vmm/pci_bus.hpp"

namespace pcivm::test {

class AssignedBarsPlay final {
 public:
  explicit AssignedBarsPlay(std::span<const std::uint8_t> input) : input_{input} {
    constexpr std::uint64_t kSizes[] = {16, 256, 4 * kKiB, 64 * kKiB};
    const auto choice = input_.byte();
    rig_.add_ram(0, AssignedRig::kLow);
    rig_.add_ram(4 * kGiB, 8 * kGiB);
    const auto size = kSizes[choice % 4];
    for (auto* const facts : {&rig_.facts, &other_facts_}) {
      facts->bars = {{.index = 0, .address = 0, .size = 16 * kKiB, .io = false, .wide = true, .prefetchable = true},
                     {.index = 2, .address = 0, .size = size, .io = false, .wide = false, .prefetchable = false},
                     {.index = 3, .address = 0, .size = 16 * kKiB, .io = false, .wide = true, .prefetchable = true},
                     {.index = 5, .address = 0, .size = 32, .io = true, .wide = false, .prefetchable = false}};
    }
    other_facts_.address = {.domain = 0, .bus = 1, .device = 0x10, .function = 2};
    for (auto* const fake : {&rig_.fake, &other_fake_}) {
      fake->regions[2] = {.size = size, .mappable = (choice & 4U) != 0};
      fake->regions[5] = {.size = 32};
      if ((choice & 8U) != 0) fake->regions[0].sparse = {{{.offset = 0x1000, .length = 0x1000}}};
    }
    if ((choice & 16U) != 0) rig_.facts.rom.resize(5000);
    rig_.ready();
    rig_.device->place_bar(2, AssignedRig::kLow);
    rig_.device->place_bar(5, 0xc000);
    other_ = vmm::AssignedDevice::create(other_facts_, rig_.wiring).value();
    other_->place_bar(0, AssignedRig::kHigh + 0x100000);
    other_->place_bar(3, AssignedRig::kHigh + 0x104000);
    (void)bus_.add(*rig_.device);
    (void)bus_.add(*other_);
    (void)bus_.connect(rig_.ports, rig_.memory, Gpa{kEcam});
    (void)other_->deliver(vfio::Device::open(other_fake_, rig_.group.ref(), other_facts_.address.to_string()));
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      if (const auto wrong = step(); !wrong.empty()) return wrong;
      if (rig_.fake.refused_slots() != 0) return "a slot over RAM or another BAR";
      if (const auto wrong = check_slots(); !wrong.empty()) return wrong;
    }
    other_->release();
    return left_behind(rig_);
  }

 private:
  static constexpr std::uint64_t kEcam = AssignedRig::kLow + 0x8000000;
  static constexpr std::uint64_t kRom = 8 * kKiB;  // of the one that is not a power of two

  /// A function, and what plays its hardware.
  struct Function {
    unsigned devfn;
    vmm::AssignedDevice& device;
    const FakeVfio& fake;
  };
  [[nodiscard]] Function function(bool other) {
    return other ? Function{2U << 3U, *other_, other_fake_} : Function{1U << 3U, *rig_.device, rig_.fake};
  }
  static std::uint32_t read(const Function& function, unsigned at) {
    std::array<std::byte, 4> bytes{};
    function.device.config_read(static_cast<std::uint16_t>(at), bytes);
    return config_u32(bytes, 0);
  }
  void write(const Function& function, unsigned at, unsigned width, std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    vmm::store_le(bytes, value);
    bus_.config_write(function.devfn, static_cast<std::uint16_t>(at), std::span{bytes}.first(width));
  }

  struct Place {
    bool io;
    std::uint64_t start;
    std::uint64_t length;
    [[nodiscard]] bool meets(const Place& other) const {
      return io == other.io && start < other.start + other.length && other.start < start + length;
    }
  };
  /// Where the registers of `function` want BARs decoded.
  [[nodiscard]] std::vector<Place> wanted(const Function& function) const {
    std::vector<Place> places;
    const auto command = function.fake.config(PCI_COMMAND, 2);
    if ((function.fake.config(FakeVfio::kPm + PCI_PM_CTRL, 2) & PCI_PM_CTRL_STATE_MASK) != 0) return places;
    for (const auto& bar : function.device.bars()) {
      const auto low = read(function, PCI_BASE_ADDRESS_0 + 4 * bar.index);
      std::uint64_t at = low & (bar.io ? ~3U : ~0xfU);
      if (bar.is_64bit) at |= std::uint64_t{read(function, PCI_BASE_ADDRESS_0 + 4 * bar.index + 4)} << 32U;
      const bool on = (command & (bar.io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) != 0;
      const bool possible =
          bar.io ? at >= 0x1000 && at + bar.size <= 0x10000 : at != 0 && rig_.wiring.may_decode(at, bar.size);
      if (on && possible) places.push_back({.io = bar.io, .start = at, .length = bar.size});
    }
    const auto rom = read(function, PCI_ROM_ADDRESS);
    const std::uint64_t at = rom & ~std::uint32_t{PCI_ROM_ADDRESS_ENABLE};
    const bool on = (rom & PCI_ROM_ADDRESS_ENABLE) != 0 && (command & PCI_COMMAND_MEMORY) != 0;
    if (on && at != 0 && rig_.wiring.may_decode(at, kRom)) places.push_back({.io = false, .start = at, .length = kRom});
    return places;
  }

  /// Every slot is a part of a BAR that is on, in D0 and at that address.
  std::string_view check_slots() {
    auto all = wanted(function(false));
    std::ranges::copy(wanted(function(true)), std::back_inserter(all));
    for (const auto& [start, length] : rig_.fake.slot_ranges()) {
      if (std::ranges::count(rig_.ram, start) != 0) continue;
      const auto holds = [&](const Place& place) {
        return !place.io && start >= place.start && start + length <= place.start + place.length;
      };
      if (!std::ranges::any_of(all, holds)) return "a slot where no register wants one";
      if (Place{false, start, length}.meets({false, kEcam, vmm::platform::kEcamLength})) return "a slot over ECAM";
    }
    return {};
  }
  std::string_view check_decoded() {
    const auto wrong = check_decoded(false);
    return wrong.empty() ? check_decoded(true) : wrong;
  }
  /// What the registers want and nothing is in the way of answers.
  std::string_view check_decoded(bool other) {
    const auto mine = wanted(function(other));
    auto all = wanted(function(!other));
    std::ranges::copy(mine, std::back_inserter(all));
    all.push_back({.io = false, .start = kEcam, .length = vmm::platform::kEcamLength});
    for (const auto& place : mine) {
      // Itself is one.
      if (std::ranges::count_if(all, [&](const Place& each) { return each.meets(place); }) != 1) continue;
      std::array<std::byte, 1> byte{};
      const auto& bus = place.io ? rig_.ports : rig_.memory;
      if (!bus.read(place.start, byte) || !bus.read(place.start + place.length - 1, byte)) return "a BAR is not there";
    }
    return {};
  }

  std::uint32_t address() {
    constexpr std::uint32_t kTelling[] = {
        0, ~0U, 0x00100000, 0xfee00000, 0xfec00000, static_cast<std::uint32_t>(kEcam), 0xbffff000, 0x00000008};
    const auto choice = input_.byte();
    if (choice % 4 == 0) return kTelling[choice / 4U % 8];
    if (choice % 4 == 1) return AssignedRig::kLow + input_.byte() * 0x1000U;
    if (choice % 4 == 2) return input_.byte() * 0x1000U;
    return input_.value();
  }
  std::string_view step() {
    constexpr unsigned kBars[] = {0, 1, 2, 3, 4, 5, 0, 3};
    constexpr unsigned kWidths[] = {4, 4, 4, 2, 1, 4, 4, 4};
    const auto action = input_.byte();
    const bool other = (action & 8U) != 0;
    const auto target = function(other);
    switch (action % 8) {
      case 0:
      case 1:
      case 2: {
        const auto width = kWidths[action / 32U];
        const auto at = input_.byte();
        if (at >= 0xf0) {
          write(target, PCI_ROM_ADDRESS, 4, address() | (at & 1U));
          return check_decoded();
        }
        write(target, PCI_BASE_ADDRESS_0 + kBars[at % 8] * 4 + at / 8U % (5 - width), width, address());
        return check_decoded();
      }
      case 3: {
        // The upper half of a BAR near the 64-bit window.
        constexpr std::uint32_t kHalves[] = {8, 0, 1, ~0U};
        write(target, PCI_BASE_ADDRESS_0 + (action & 16U ? 4 : 16), 4, kHalves[action / 64U]);
        return check_decoded();
      }
      case 4: write(target, PCI_COMMAND, 1, input_.byte()); return check_decoded();
      case 5: write(target, FakeVfio::kPm + PCI_PM_CTRL, 2, input_.byte()); return check_decoded();
      case 6: return access();
      default: reset(target, action / 64U); return {};
    }
  }
  void reset(const Function& function, unsigned kind) {
    if (kind == 0) {
      (void)function.device.reset_for_reboot();
    } else if (kind == 1) {
      write(function, FakeVfio::kExpress + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
    }
  }
  /// Of any size, inside and across the ends of BARs; what is nowhere reads as ones.
  std::string_view access() {
    std::array<std::byte, 16> bytes{};
    const auto choice = input_.byte();
    const auto data = std::span{bytes}.first(1 + choice % 16U);
    const auto base = (choice & 16U) != 0 ? AssignedRig::kHigh : AssignedRig::kLow;
    const auto at = base + input_.byte() * 0x1000U + (choice / 32U == 0 ? 0x1000U - choice % 16U : choice / 32U);
    if ((choice & 16U) != 0 && (choice & 32U) != 0) {
      (void)rig_.memory.write(at, data);
    } else if (!rig_.memory.read(at, data) && !all_ones(data)) {
      return "nothing is there, and it does not read as ones";
    }
    return {};
  }

  AssignedRig rig_;
  FakeVfio other_fake_;
  vfio::OpenedDevice other_facts_;
  vmm::PciBus bus_;
  std::unique_ptr<vmm::AssignedDevice> other_;  // goes first
  PlayInput input_;
};

}  // namespace pcivm::test
