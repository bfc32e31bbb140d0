// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest and both ways to configuration space, by accesses of every size, while functions come and go and the
// chipset is told to put ECAM elsewhere.
#pragma once

#include <linux/pci_regs.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tests/vmm/play.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/q35.hpp"

namespace pcivm::test {

/// Keeps what is written, and whether the bus kept its word.
class KeepingDevice final : public vmm::PciDevice {
 public:
  KeepingDevice() {
    for (std::size_t at = 0; at < config.size(); ++at) config[at] = static_cast<std::byte>(at ^ at >> 8U);
  }
  [[nodiscard]] std::string_view name() const override { return "keeping"; }
  [[nodiscard]] std::vector<vmm::BarRequest> bars() const override {
    return {{.index = 0, .size = 0x4000, .io = false, .is_64bit = true, .prefetchable = true}};
  }
  void place_bar(unsigned /*index*/, std::uint64_t /*address*/) override {}
  void config_read(std::uint16_t offset, std::span<std::byte> data) override {
    if (judge(offset, data.size())) std::copy_n(config.begin() + offset, data.size(), data.begin());
  }
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override {
    if (judge(offset, data.size())) std::ranges::copy(data, config.begin() + offset);
  }
  std::array<std::byte, 4096> config{};
  bool misused{false};

 private:
  bool judge(std::uint16_t offset, std::size_t length) {
    const bool kept = (length == 1 || length == 2 || length == 4) && offset % 4U + length <= 4 && offset < 4096;
    misused = misused || !kept;
    return kept;
  }
};

class PciBusPlay final {
 public:
  explicit PciBusPlay(std::span<const std::uint8_t> input) : input_{input} {
    bus_.keep_for_hotplug(4);
    bus_.place(0, bridge_);
    bus_.place(31, lpc_);
    slot_ = bus_.add(device_).value();
    expected_ = device_.config;
    (void)memory_.add(vmm::platform::kIoapic.value, vmm::platform::kIoapicLength, taken_, "IOAPIC");
    (void)bus_.connect(ports_, memory_, vmm::platform::kEcam, [this] { ++resets_; });
    ecam_ = vmm::platform::kEcam;
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      if (const auto wrong = step(); !wrong.empty()) return wrong;
      if (device_.misused || visitor_.misused) return "a device got an access that is none";
      if (device_.config != expected_) return "a register was written by no access to it";
    }
    return {};
  }

 private:
  static constexpr unsigned kVisitorSlot = vmm::platform::kFirstHotplugSlot + 1;

  /// Anything else on the bus.
  class Taken final : public vmm::IoHandler {
   public:
    void read(std::uint64_t /*offset*/, std::span<std::byte> data) override { std::ranges::fill(data, std::byte{1}); }
    void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  };

  static bool possible(unsigned at, std::size_t length) {
    if (at + length > 4096) return false;
    if (length == 8) return at % 4 == 0;
    return (length == 1 || length == 2 || length == 4) && at % 4 + length <= 4;
  }
  /// A function that is there has function number 0.
  [[nodiscard]] bool there(unsigned devfn) const {
    const auto slot = devfn / 8;
    return devfn % 8 == 0 && (slot == 0 || slot == 31 || slot == slot_ || (slot == kVisitorSlot && visiting_));
  }
  unsigned devfn() {
    const auto choice = input_.byte();
    const unsigned kTelling[] = {0, slot_ * 8, kVisitorSlot * 8, 31 * 8, slot_ * 8 + 1, slot_ * 8};
    return choice % 8 < 6 ? kTelling[choice % 8] : choice;
  }
  unsigned offset() {
    const auto choice = input_.byte();
    return choice % 4 == 0 ? 0xff0U + choice / 4U % 16 : input_.word() % 4096U;
  }

  std::string_view step() {
    const auto action = input_.byte();
    const auto length = 1 + action / 16U;
    std::array<std::byte, 16> bytes{};
    const auto data = std::span{bytes}.first(length);
    switch (action % 8) {
      case 0: return ecam(data, false);
      case 1: return ecam(data, true);
      case 2:
      case 3: return port(data, action % 8 == 3);
      case 4: select(); return {};
      case 5: move_ecam(); return {};
      case 6:
        if (visiting_) {
          bus_.remove(kVisitorSlot);
        } else {
          (void)bus_.insert(kVisitorSlot, visitor_);
        }
        visiting_ = !visiting_;
        return {};
      default: (void)bus_.bars_above_4g(); return {};
    }
  }

  /// What a write of `data` to a register of a function does to what is expected of `device_`.
  void expect(unsigned devfn, unsigned at, std::span<const std::byte> data) {
    if (devfn != slot_ * 8 || !possible(at, data.size())) return;
    std::ranges::copy(data, expected_.begin() + at);
  }
  [[nodiscard]] std::string_view judge(unsigned devfn, unsigned at, std::span<const std::byte> data) const {
    if (!there(devfn) || !possible(at, data.size())) {
      return all_ones(data) ? std::string_view{} : "what is not there does not read as ones";
    }
    if (devfn == slot_ * 8 && !std::ranges::equal(data, std::span{expected_}.subspan(at, data.size()))) {
      return "a register reads as another";
    }
    return {};
  }

  std::string_view ecam(std::span<std::byte> data, bool writes) {
    const auto function = devfn();
    const auto at = offset();
    if (!ecam_) return {};
    const auto address = ecam_->value + function * 0x1000 + at;
    if (writes) {
      const auto before = bridge_.ecam();
      fill(data);
      if (!memory_.write(address, data)) return "ECAM is not where it was put";
      expect(function, at, data);
      // It may have moved itself.
      if (bridge_.ecam() != before) ecam_ = placed_;
      return {};
    }
    if (!memory_.read(address, data)) return "ECAM is not where it was put";
    return judge(function, at, data);
  }
  void fill(std::span<std::byte> data) {
    for (auto& byte : data) byte = static_cast<std::byte>(input_.byte());
  }

  /// CONFIG_ADDRESS for a function, with its enable bit or without, on this bus or another.
  void select() {
    const auto choice = input_.byte();
    address_ = devfn() << 8U | (offset() & 0xfcU) | (choice % 4 == 0 ? 0U : 1U << 31U);
    if (choice % 16 == 1) address_ |= std::uint32_t{choice} << 16U;
    std::array<std::byte, 4> bytes{};
    vmm::store_le(bytes, address_);
    ports_.write(vmm::platform::port::kPciConfig, bytes);
  }
  std::string_view port(std::span<std::byte> data, bool writes) {
    const unsigned at = input_.byte() % 8;
    const auto number = static_cast<std::uint64_t>(vmm::platform::port::kPciConfig + at);
    const bool selected = at >= 4 && data.size() <= 4 && (address_ >> 31U) != 0 && (address_ >> 16U & 0xffU) == 0;
    const auto function = address_ >> 8U & 0xffU;
    const auto reg = (address_ & 0xfcU) | (at & 3U);
    if (writes) {
      fill(data);
      const auto before = bridge_.ecam();
      const auto resets = resets_;
      const bool restarts = at == 1 && data.size() == 1 && (data[0] & std::byte{4}) != std::byte{0};
      ports_.write(number, data);
      if ((resets_ != resets) != restarts) return "a reset that nobody wrote, or none";
      if (at == 0 && data.size() == 4) address_ = config_u32(data, 0) & 0x80fffffcU;
      if (selected) expect(function, reg, data);
      if (bridge_.ecam() != before) ecam_ = placed_;
      return {};
    }
    ports_.read(number, data);
    if (at == 0 && data.size() == 4) return config_u32(data, 0) == address_ ? std::string_view{} : "CONFIG_ADDRESS";
    if (selected) return judge(function, reg, data);
    return all_ones(data) ? std::string_view{} : "a port that selects nothing does not read as ones";
  }

  /// As firmware does it, but to anywhere.
  void move_ecam() {
    constexpr std::uint32_t kPlaces[] = {0xe0000000, 0xb0000000, 0xfec00000, 0, 0xf0000000};
    const auto choice = input_.byte();
    const auto low = choice % 8 < 5 ? kPlaces[choice % 8] | choice / 128U : input_.value();
    std::array<std::byte, 8> bytes{};
    vmm::store_le(bytes, low | std::uint64_t{choice / 64U % 2} << 32U);
    const auto before = bridge_.ecam();
    bus_.config_write(0, 0x60, bytes);
    if (bridge_.ecam() != before) ecam_ = placed_;
  }

  PlayInput input_;
  vmm::IoBus ports_;
  vmm::IoBus memory_;
  Taken taken_;
  vmm::PciBus bus_;
  vmm::Q35HostBridge bridge_{[this](std::optional<Gpa> place) {
    // Where something else is, there is none.
    placed_ = bus_.move_ecam(place).has_value() ? place : std::nullopt;
  }};
  vmm::Ich9LpcBridge lpc_;
  KeepingDevice device_;
  KeepingDevice visitor_;
  std::array<std::byte, 4096> expected_{};
  unsigned slot_{};
  std::uint32_t address_{};
  std::optional<Gpa> ecam_;
  std::optional<Gpa> placed_;
  unsigned resets_{};
  bool visiting_{false};
};

}  // namespace pcivm::test
