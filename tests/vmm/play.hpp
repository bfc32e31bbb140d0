// SPDX-License-Identifier: GPL-2.0-or-later
// What the plays of a hostile guest share. A play makes accesses of any bytes and says what does not hold afterwards;
// libFuzzer drives it (tests/fuzz), and random input by a fixed seed in the unit tests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tests/vmm/assigned_rig.hpp"

namespace pcivm::test {

/// What the guest does next; zeros once the bytes are used up.
class PlayInput final {
 public:
  explicit PlayInput(std::span<const std::uint8_t> bytes) : bytes_{bytes} {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value;
  }
  std::uint16_t word() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>(high << 8U | byte());
  }
  /// Small numbers, masks and addresses of the windows are more telling than noise.
  std::uint32_t value() {
    const std::uint32_t value = byte();
    switch (byte() % 6) {
      case 0: return value;
      case 1: return ~value;
      case 2: return AssignedRig::kLow + value * 0x1000;
      case 3: return 0xfee00000U + value;
      case 4: return value << 12U;
      default: return value << 24U | value << 8U | byte();
    }
  }
  std::uint64_t wide() {
    const std::uint64_t high = value();
    return high << 32U | value();
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// What does not hold of the function on `rig` and its mappings; empty when all does.
[[nodiscard]] inline std::string_view broken(AssignedRig& rig) {
  for (const auto& [start, length] : rig.fake.slot_ranges()) {
    if (std::ranges::count(rig.ram, start) != 0) continue;
    if (!rig.wiring.may_decode(start, length)) return "a slot lies outside the PCI windows";
    // Decode in the device and slots in the guest go together.
    if ((rig.fake.config(PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) == 0) return "a slot without memory decode";
    if ((rig.fake.config(FakeVfio::kPm + PCI_PM_CTRL, 2) & 3U) != 0) return "a slot outside D0";
  }
  if (rig.fake.refused_slots() != 0) return "a slot over another one";
  for (const auto& entry : rig.fake.take_log()) {
    if (entry.ends_with("unrouted")) return "an irqfd without a route";
    if (entry == "reset") return "a reset that nobody asked for";
  }
  if (rig.reports.size() > 21) return "more reports than the limit";
  return {};
}

/// Ends the function; what it left behind.
[[nodiscard]] inline std::string_view left_behind(AssignedRig& rig) {
  rig.device->release();
  if (rig.fake.slots() != rig.ram.size()) return "a slot is left after release";
  if (rig.fake.irqfds() != 0) return "an irqfd is left after release";
  if (rig.fake.routes() != 0) return "a route is left after release";
  return {};
}

/// True when every byte is 0xff.
[[nodiscard]] inline bool all_ones(std::span<const std::byte> data) {
  return std::ranges::all_of(data, [](std::byte byte) { return byte == std::byte{0xff}; });
}

}  // namespace pcivm::test
