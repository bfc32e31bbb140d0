// SPDX-License-Identifier: GPL-2.0-or-later
// The keyboard controller: enough of an 8042 for a driver to find it healthy, with a keyboard that nobody types on and
// a mouse that nobody moves, or without both. Its lasting use is the reset line.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

#include "vmm/interrupts.hpp"
#include "vmm/legacy/ps2_mouse.hpp"

namespace pcivm::vmm {

/// Ports 0x60, 0x64 and 0x92. Any thread.
class I8042 final {
 public:
  struct Wiring {
    InterruptLine& irq1;          ///< both outlive the object
    InterruptLine& irq12;         ///< of the auxiliary port
    std::function<void()> reset;  ///< the guest pulled the CPU's reset line; called without lock
    bool keyboard{true};          ///< false: neither keyboard nor auxiliary port
  };
  explicit I8042(Wiring wiring) : wiring_{std::move(wiring)} {}

  [[nodiscard]] std::uint8_t read(std::uint16_t port);
  void write(std::uint16_t port, std::uint8_t value);
  void reset();

 private:
  /// The command that waits for its parameter at port 0x60; 0 = none, the byte is for the keyboard.
  using Command = std::uint8_t;
  struct Output {
    std::uint8_t value{};
    bool aux{};
  };
  struct State {
    std::array<std::uint8_t, 32> ram{};  ///< byte 0 is the command byte
    std::deque<Output> output;
    Ps2Mouse mouse;
    Command waiting{};
    bool last_was_command{};
    std::uint8_t output_port{0x03};  ///< bit 0 = CPU not in reset, bit 1 = A20
    Command keyboard_waiting{};
  };
  [[nodiscard]] State initial() const;
  [[nodiscard]] std::uint8_t status() const;
  [[nodiscard]] bool command(std::uint8_t value);
  [[nodiscard]] bool parameter(std::uint8_t value);
  void to_keyboard(std::uint8_t value);
  void to_mouse(std::uint8_t value);
  void reply(std::uint8_t value, bool aux = false);
  void settle();

  Wiring wiring_;
  std::mutex mutex_;
  State state_ = initial();  // guarded by mutex_
};

}  // namespace pcivm::vmm
