// SPDX-License-Identifier: GPL-2.0-or-later
// The fixed hardware of ACPI (ACPI 6.5, 4.8): PM1a events and control, the PM timer, and the reset register.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/legacy/clock.hpp"

namespace pcivm::vmm {

/// 16 ports at port::kAcpiPm. The machine is always in ACPI mode (SCI_EN reads 1, there is no SMI command). Any thread.
class AcpiPm final : public IoHandler {
 public:
  /// Offsets of the registers, for the FADT.
  static constexpr std::uint16_t kEventOffset = 0;    ///< PM1a_EVT_BLK: status 2 bytes, enable 2 bytes
  static constexpr std::uint16_t kControlOffset = 4;  ///< PM1a_CNT_BLK, 2 bytes
  static constexpr std::uint16_t kTimerOffset = 8;    ///< PM_TMR_BLK, 32 bits
  static constexpr std::uint16_t kResetOffset = 12;   ///< RESET_REG, 1 byte
  static constexpr std::uint16_t kLength = 16;
  static constexpr std::uint8_t kResetValue = 0x06;
  static constexpr std::uint8_t kS5 = 5;  ///< SLP_TYP of \_S5

  struct Wiring {
    InterruptLine& sci;  ///< outlives the object
    std::function<Nanoseconds()> now;
    std::function<void()> power_off;  ///< the guest entered S5; called without lock
    std::function<void()> reset;      ///< the same for the reset register
    bool type_0_is_s5{};              ///< too: what firmware writes that does not read our tables
  };
  explicit AcpiPm(Wiring wiring) : wiring_{std::move(wiring)} {}
  /// Calls timer_tick(); before the first access. Outlives the object.
  void use(Timer& timer) { timer_ = &timer; }
  void timer_tick();

  /// A short press: asks the guest to power off. Any thread.
  void press_power_button();
  void press_sleep_button();

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void reset();

 private:
  enum class Request : std::uint8_t { none, power_off, reset };
  [[nodiscard]] std::uint64_t timer_count() const;
  [[nodiscard]] std::uint8_t read_byte(std::uint64_t offset, std::uint32_t timer) const;
  [[nodiscard]] Request write_byte(std::uint64_t offset, std::uint8_t value);
  void press(std::uint16_t status);
  void advance();
  void settle();

  Wiring wiring_;
  Timer* timer_{};
  std::mutex mutex_;
  std::uint16_t status_{};  // guarded by mutex_, as are the rest
  std::uint16_t enable_{};
  std::uint16_t control_{};
  std::uint64_t timer_halves_{};  // changes of the timer's top bit seen so far
  bool timer_armed_{};
};

}  // namespace pcivm::vmm
