// SPDX-License-Identifier: GPL-2.0-or-later
// The registers by which machine and guest agree that a PCI device comes or goes (the DSDT's HPRG, docs/adr/0003):
//   0  read: slots where a device was plugged in, one bit each; the read clears it
//   4  read: slots whose device is wanted back; the same
//   8  write: slots whose device the guest lets go of (_EJ0)
//  12  write: what became of a notification (_OST): slot << 24 | event << 16 | status
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>

#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// 16 ports at port::kHotplug, dwords only; others read all-ones and write nothing. The line is up while the guest has
/// something to read. Any thread.
class HotplugSlots final : public IoHandler {
 public:
  static constexpr std::uint8_t kPluggedOffset = 0;
  static constexpr std::uint8_t kWantedOffset = 4;
  static constexpr std::uint8_t kEjectOffset = 8;
  static constexpr std::uint8_t kAnswerOffset = 12;
  static constexpr std::uint8_t kLength = 16;
  static constexpr unsigned kSlots = 32;

  /// Notifications (ACPI 6.5, table 5.171), as _OST names them.
  static constexpr std::uint8_t kDeviceCheck = 1;
  static constexpr std::uint8_t kEjectRequest = 3;
  struct Answer {
    std::uint8_t event{};
    std::uint16_t status{};  ///< 0 = success (table 6.14)
    bool operator==(const Answer&) const = default;
  };
  /// What the guest said since the last take_news(), its last answer for each slot.
  struct News {
    std::uint32_t ejected{};  ///< one bit each
    std::array<std::optional<Answer>, kSlots> answers{};
  };

  /// `slots`: one bit for each that is there; what the guest says of others is not heard. `line` outlives the object.
  /// `said`: there is news; on vCPU threads, without lock, once until the news is taken.
  HotplugSlots(std::uint32_t slots, InterruptLine& line, std::function<void()> said)
      : slots_{slots}, line_{line}, said_{std::move(said)} {}

  void tell_plugged(unsigned slot);
  void ask_back(unsigned slot);
  /// Whatever the guest has not read of this slot it is not told any more.
  void withdraw(unsigned slot);
  [[nodiscard]] News take_news();
  /// As at power-on: nothing to tell, nothing said.
  void reset();

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  [[nodiscard]] bool note(std::uint64_t offset, std::uint32_t value);
  void settle();

  const std::uint32_t slots_;
  InterruptLine& line_;
  std::function<void()> said_;
  std::mutex mutex_;         // before the line's
  std::uint32_t plugged_{};  // guarded by mutex_, as are the rest
  std::uint32_t wanted_{};
  News news_;
  bool has_news_{};
};

}  // namespace pcivm::vmm
