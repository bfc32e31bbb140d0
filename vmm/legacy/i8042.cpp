// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/i8042.hpp"

#include <utility>

#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint8_t kStatusOutputFull = 0x01;
constexpr std::uint8_t kStatusSystem = 0x04;
constexpr std::uint8_t kStatusCommand = 0x08;
constexpr std::uint8_t kStatusUnlocked = 0x10;
constexpr std::uint8_t kStatusAux = 0x20;  // what is in the buffer came from there

constexpr std::uint8_t kByteKeyboardInterrupt = 0x01;
constexpr std::uint8_t kByteAuxInterrupt = 0x02;
constexpr std::uint8_t kByteSystem = 0x04;
constexpr std::uint8_t kByteKeyboardOff = 0x10;
constexpr std::uint8_t kByteAuxOff = 0x20;
constexpr std::uint8_t kByteTranslate = 0x40;

constexpr std::uint8_t kOutputNotReset = 0x01;
constexpr std::uint8_t kOutputA20 = 0x02;

enum ControllerCommand : std::uint8_t {
  read_ram = 0x20,   // ..0x3f
  write_ram = 0x60,  // ..0x7f
  disable_aux = 0xa7,
  enable_aux = 0xa8,
  test_aux = 0xa9,
  self_test = 0xaa,
  test_keyboard = 0xab,
  disable_keyboard = 0xad,
  enable_keyboard = 0xae,
  read_input_port = 0xc0,
  read_output_port = 0xd0,
  write_output_port = 0xd1,
  write_keyboard_buffer = 0xd2,
  write_aux_buffer = 0xd3,
  write_aux = 0xd4,
  disable_a20 = 0xdd,
  enable_a20 = 0xdf,
  pulse = 0xf0,  // ..0xff
};

enum KeyboardCommand : std::uint8_t {
  set_leds = 0xed,
  echo = 0xee,
  scan_code_set = 0xf0,
  identify = 0xf2,
  set_rate = 0xf3,
  enable_scanning = 0xf4,
  disable_scanning = 0xf5,
  set_defaults = 0xf6,
  resend = 0xfe,
  reset_keyboard = 0xff,
};
constexpr std::uint8_t kAck = 0xfa;
constexpr std::uint8_t kResend = 0xfe;
constexpr std::uint8_t kTestPassed = 0xaa;

constexpr std::size_t kMostOutput = 16;

}  // namespace

I8042::State I8042::initial() const {
  State state;
  state.ram[0] = kByteKeyboardInterrupt | kByteSystem | kByteAuxOff | kByteTranslate;
  return state;
}

std::uint8_t I8042::status() const {
  const bool full = !state_.output.empty();
  return static_cast<std::uint8_t>(
      kStatusUnlocked | (full ? kStatusOutputFull : 0) | (full && state_.output.front().aux ? kStatusAux : 0) |
      ((state_.ram[0] & kByteSystem) != 0 ? kStatusSystem : 0) | (state_.last_was_command ? kStatusCommand : 0));
}

// A driver that does not read must not make us grow.
void I8042::reply(std::uint8_t value, bool aux) {
  if (state_.output.size() < kMostOutput) state_.output.push_back({.value = value, .aux = aux});
}

void I8042::settle() {
  const bool full = !state_.output.empty();
  const bool aux = full && state_.output.front().aux;
  wiring_.irq1.set(full && !aux && (state_.ram[0] & kByteKeyboardInterrupt) != 0);
  wiring_.irq12.set(aux && (state_.ram[0] & kByteAuxInterrupt) != 0);
}

std::uint8_t I8042::read(std::uint16_t port) {
  const std::scoped_lock lock{mutex_};
  if (port == platform::port::kKeyboardCommand) return status();
  if (port == platform::port::kSystemA) return state_.output_port & kOutputA20;
  if (port != platform::port::kKeyboardData || state_.output.empty()) return 0;
  const auto value = state_.output.front().value;
  state_.output.pop_front();
  // Each byte has its own edge.
  wiring_.irq1.set(false);
  wiring_.irq12.set(false);
  settle();
  return value;
}

void I8042::write(std::uint16_t port, std::uint8_t value) {
  bool reset{};
  {
    const std::scoped_lock lock{mutex_};
    switch (port) {
      case platform::port::kKeyboardCommand: reset = command(value); break;
      case platform::port::kKeyboardData: reset = parameter(value); break;
      case platform::port::kSystemA:
        reset = (value & 1U) != 0;
        state_.output_port = static_cast<std::uint8_t>((state_.output_port & ~kOutputA20) | (value & kOutputA20));
        break;
      default: break;
    }
    settle();
  }
  if (reset && wiring_.reset) wiring_.reset();
}

// True: the CPU is to be reset.
bool I8042::command(std::uint8_t value) {
  state_.last_was_command = true;
  state_.waiting = 0;
  if (value >= read_ram && value < read_ram + 0x20) {
    reply(state_.ram.at(value & 0x1fU));
    return false;
  }
  if (value >= write_ram && value < write_ram + 0x20) {
    state_.waiting = value;
    return false;
  }
  if (value >= pulse) return (value & 1U) == 0;  // the bits that are 0 are pulled low
  switch (value) {
    case disable_aux: state_.ram[0] |= kByteAuxOff; break;
    case enable_aux: state_.ram[0] &= static_cast<std::uint8_t>(~kByteAuxOff); break;
    // Absent is "clock stuck": Linux takes 0x00, 0xfa and 0xff for a port that is there (i8042.c, i8042_check_aux).
    case test_aux: reply(wiring_.keyboard ? 0x00 : 0x01); break;
    case self_test:
      state_.ram[0] = initial().ram[0];
      reply(0x55);
      break;
    case test_keyboard: reply(0x00); break;
    case disable_keyboard: state_.ram[0] |= kByteKeyboardOff; break;
    case enable_keyboard: state_.ram[0] &= static_cast<std::uint8_t>(~kByteKeyboardOff); break;
    case read_input_port: reply(0x80); break;  // not locked
    case read_output_port: reply(state_.output_port); break;
    case disable_a20: state_.output_port &= static_cast<std::uint8_t>(~kOutputA20); break;
    case enable_a20: state_.output_port |= kOutputA20; break;
    case write_output_port:
    case write_keyboard_buffer:
    case write_aux_buffer:
    case write_aux: state_.waiting = value; break;
    default: break;
  }
  return false;
}

bool I8042::parameter(std::uint8_t value) {
  state_.last_was_command = false;
  const auto waiting = std::exchange(state_.waiting, Command{0});
  if (waiting >= write_ram && waiting < write_ram + 0x20) {
    state_.ram.at(waiting & 0x1fU) = value;
    return false;
  }
  switch (waiting) {
    case 0:
      to_keyboard(value);
      // Talking to the keyboard turns its interface on (IBM AT technical reference, "Keyboard Controller").
      state_.ram[0] &= static_cast<std::uint8_t>(~kByteKeyboardOff);
      return false;
    case write_output_port: state_.output_port = value | kOutputNotReset; return (value & kOutputNotReset) == 0;
    // Where there is no auxiliary port the answer is not marked as its own, from which Linux sees it at once; no answer
    // would cost it half a second.
    case write_aux_buffer: reply(value, wiring_.keyboard); return false;
    case write_keyboard_buffer: reply(value); return false;
    case write_aux: to_mouse(value); return false;
    default: return false;
  }
}

void I8042::to_keyboard(std::uint8_t value) {
  if (!wiring_.keyboard) return reply(kResend);
  switch (std::exchange(state_.keyboard_waiting, Command{0})) {
    case scan_code_set:
      reply(kAck);
      if (value == 0) reply(0x02);
      return;
    case set_leds:
    case set_rate: return reply(kAck);
    default: break;
  }
  switch (value) {
    case echo: return reply(echo);
    case set_leds:
    case scan_code_set:
    case set_rate: state_.keyboard_waiting = value; return reply(kAck);
    case identify:
      reply(kAck);
      reply(0xab);
      // 0x83 as the translation to scan code set 1 shows it.
      return reply((state_.ram[0] & kByteTranslate) != 0 ? 0x41 : 0x83);
    case enable_scanning:
    case disable_scanning:
    case set_defaults: return reply(kAck);
    case reset_keyboard: reply(kAck); return reply(kTestPassed);
    default: return reply(kResend);
  }
}

void I8042::to_mouse(std::uint8_t value) {
  if (!wiring_.keyboard) return reply(kResend);
  state_.ram[0] &= static_cast<std::uint8_t>(~kByteAuxOff);
  state_.mouse.receive(value, [this](std::uint8_t answer) { reply(answer, true); });
}

void I8042::reset() {
  const std::scoped_lock lock{mutex_};
  state_ = initial();
  settle();
}

}  // namespace pcivm::vmm
