// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/serial.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace pcivm::vmm {

namespace {

enum Register : unsigned { data = 0, ier = 1, iir_fcr = 2, lcr = 3, mcr = 4, lsr = 5, msr = 6, scr = 7 };

constexpr std::uint8_t kIerReceived = 0x01;
constexpr std::uint8_t kIerTransmitterEmpty = 0x02;
constexpr std::uint8_t kIerLineStatus = 0x04;
constexpr std::uint8_t kIerModemStatus = 0x08;

constexpr std::uint8_t kIirNone = 0x01;
constexpr std::uint8_t kIirModemStatus = 0x00;
constexpr std::uint8_t kIirTransmitterEmpty = 0x02;
constexpr std::uint8_t kIirReceived = 0x04;
constexpr std::uint8_t kIirLineStatus = 0x06;
constexpr std::uint8_t kIirTimeout = 0x0c;
constexpr std::uint8_t kIirFifos = 0xc0;

constexpr std::uint8_t kFcrEnable = 0x01;
constexpr std::uint8_t kFcrClearReceived = 0x02;
constexpr std::uint8_t kFcrKept = 0xc9;  // enable, DMA mode, trigger level
constexpr std::array<std::uint8_t, 4> kTriggerLevels{1, 4, 8, 14};
constexpr std::size_t kFifoSize = 16;

constexpr std::uint8_t kLcrBreak = 0x40;
constexpr std::uint8_t kLcrDivisorLatch = 0x80;

constexpr std::uint8_t kMcrDtr = 0x01;
constexpr std::uint8_t kMcrRts = 0x02;
constexpr std::uint8_t kMcrOut1 = 0x04;
constexpr std::uint8_t kMcrOut2 = 0x08;
constexpr std::uint8_t kMcrLoop = 0x10;
constexpr std::uint8_t kMcrKept = 0x1f;

constexpr std::uint8_t kLsrReceived = 0x01;
constexpr std::uint8_t kLsrOverrun = 0x02;
constexpr std::uint8_t kLsrBreak = 0x10;
constexpr std::uint8_t kLsrTransmitterEmpty = 0x60;  // holding and shift register

constexpr std::uint8_t kMsrCts = 0x10;
constexpr std::uint8_t kMsrDsr = 0x20;
constexpr std::uint8_t kMsrRing = 0x40;
constexpr std::uint8_t kMsrDcd = 0x80;

}  // namespace

bool Serial::loopback() const { return (state_.mcr & kMcrLoop) != 0; }

std::size_t Serial::capacity() const { return (state_.fcr & kFcrEnable) != 0 ? kFifoSize : 1; }

std::size_t Serial::receive(std::span<const std::byte> data) {
  const std::scoped_lock lock{mutex_};
  // In loopback the wire is disconnected: the far end waits rather than loses bytes.
  const auto room = loopback() ? 0 : capacity() - std::min(capacity(), state_.received.size());
  const auto taken = std::min(room, data.size());
  for (const auto byte : data.first(taken)) state_.received.push_back(std::to_integer<std::uint8_t>(byte));
  refused_ = refused_ || taken < data.size();
  settle();
  return taken;
}

// The far end always has its modem lines up; in loopback they are our own outputs (PC16550D, "Modem Control").
std::uint8_t Serial::modem_lines() const {
  if (!loopback()) return kMsrCts | kMsrDsr | kMsrDcd;
  const auto when = [&](std::uint8_t output, std::uint8_t input) { return (state_.mcr & output) != 0 ? input : 0; };
  return static_cast<std::uint8_t>(when(kMcrRts, kMsrCts) | when(kMcrDtr, kMsrDsr) | when(kMcrOut1, kMsrRing) |
                                   when(kMcrOut2, kMsrDcd));
}

std::uint8_t Serial::line_status() const {
  return static_cast<std::uint8_t>(kLsrTransmitterEmpty | (state_.received.empty() ? 0 : kLsrReceived) |
                                   (state_.overrun ? kLsrOverrun : 0) | (state_.break_received ? kLsrBreak : 0));
}

// In the chip's order of priority. A FIFO filled below its trigger level times out at once: no byte is under way.
std::uint8_t Serial::interrupt_cause() const {
  if ((state_.ier & kIerLineStatus) != 0 && (state_.overrun || state_.break_received)) return kIirLineStatus;
  if ((state_.ier & kIerReceived) != 0 && !state_.received.empty()) {
    const bool fifo = (state_.fcr & kFcrEnable) != 0;
    const bool full = !fifo || state_.received.size() >= kTriggerLevels[state_.fcr >> 6U];
    return full ? kIirReceived : kIirTimeout;
  }
  if ((state_.ier & kIerTransmitterEmpty) != 0 && state_.transmitter_empty_pending) return kIirTransmitterEmpty;
  if ((state_.ier & kIerModemStatus) != 0 && state_.msr_changes != 0) return kIirModemStatus;
  return kIirNone;
}

// On a PC, OUT2 connects the interrupt output to the bus; loopback disconnects OUT2.
void Serial::settle() {
  const bool connected = (state_.mcr & kMcrOut2) != 0 && !loopback();
  line_.set(connected && interrupt_cause() != kIirNone);
}

// Only an empty FIFO is reported, so that the sender is woken once for many bytes.
bool Serial::take_room_notice() {
  if (loopback() || !state_.received.empty()) return false;
  return std::exchange(refused_, false);
}

std::uint8_t Serial::read(std::uint16_t port) {
  std::uint8_t value{};
  bool room{};
  {
    const std::scoped_lock lock{mutex_};
    value = read_register(port & 7U);
    settle();
    room = take_room_notice();
  }
  if (room && callbacks_.can_receive) callbacks_.can_receive();
  return value;
}

std::uint8_t Serial::read_register(unsigned index) {
  const bool latch = (state_.lcr & kLcrDivisorLatch) != 0;
  switch (index) {
    case data: {
      if (latch) return static_cast<std::uint8_t>(state_.divisor);
      if (state_.received.empty()) return 0;
      const auto value = state_.received.front();
      state_.received.pop_front();
      return value;
    }
    case ier: return latch ? static_cast<std::uint8_t>(state_.divisor >> 8U) : state_.ier;
    case iir_fcr: {
      const auto cause = interrupt_cause();
      if (cause == kIirTransmitterEmpty) state_.transmitter_empty_pending = false;
      return static_cast<std::uint8_t>(cause | ((state_.fcr & kFcrEnable) != 0 ? kIirFifos : 0));
    }
    case lcr: return state_.lcr;
    case mcr: return state_.mcr;
    case lsr: {
      const auto value = line_status();
      state_.overrun = false;
      state_.break_received = false;
      return value;
    }
    case msr: return static_cast<std::uint8_t>(modem_lines() | std::exchange(state_.msr_changes, std::uint8_t{0}));
    default: return state_.scratch;
  }
}

void Serial::write(std::uint16_t port, std::uint8_t value) {
  bool room{};
  {
    const std::scoped_lock lock{mutex_};
    write_register(port & 7U, value);
    settle();
    room = take_room_notice();
  }
  if (room && callbacks_.can_receive) callbacks_.can_receive();
}

void Serial::write_register(unsigned index, std::uint8_t value) {
  const bool latch = (state_.lcr & kLcrDivisorLatch) != 0;
  switch (index) {
    case data:
      if (latch) {
        state_.divisor = static_cast<std::uint16_t>((state_.divisor & 0xff00U) | value);
      } else {
        transmit(value);
      }
      break;
    case ier:
      if (latch) {
        state_.divisor = static_cast<std::uint16_t>((state_.divisor & 0x00ffU) | unsigned{value} << 8U);
        break;
      }
      // Enabling the THRE interrupt while the transmitter is empty raises it: drivers start to send that way.
      if ((value & kIerTransmitterEmpty) != 0 && (state_.ier & kIerTransmitterEmpty) == 0) {
        state_.transmitter_empty_pending = true;
      }
      state_.ier = value & 0x0fU;
      break;
    case iir_fcr: write_fifo_control(value); break;
    case lcr:
      // A break sent in loopback arrives as one zero byte with the break indication.
      if (loopback() && (value & ~state_.lcr & kLcrBreak) != 0) {
        transmit(0);
        state_.break_received = true;
      }
      state_.lcr = value;
      break;
    case mcr: write_modem_control(value); break;
    case scr: state_.scratch = value; break;
    default: break;  // LSR and MSR are for the factory
  }
}

void Serial::transmit(std::uint8_t value) {
  state_.transmitter_empty_pending = true;  // it is empty again already
  if (!loopback()) {
    const std::array byte{std::byte{value}};
    if (callbacks_.output) callbacks_.output(byte);
  } else if (state_.received.size() < capacity()) {
    state_.received.push_back(value);
  } else {
    state_.overrun = true;
  }
}

void Serial::write_fifo_control(std::uint8_t value) {
  const bool toggled = ((value ^ state_.fcr) & kFcrEnable) != 0;
  if (toggled || (value & kFcrClearReceived) != 0) state_.received.clear();
  // Without the enable bit, the others are not programmed (PC16550D, "FIFO Control Register").
  state_.fcr = (value & kFcrEnable) != 0 ? value & kFcrKept : 0;
}

void Serial::write_modem_control(std::uint8_t value) {
  const auto before = modem_lines();
  state_.mcr = value & kMcrKept;
  const auto after = modem_lines();
  const auto changed = static_cast<std::uint8_t>(before ^ after);
  // The ring indicator counts only when it ends; the others at both edges.
  const auto ring_ended = static_cast<std::uint8_t>(before & ~after & kMsrRing);
  state_.msr_changes |= static_cast<std::uint8_t>(((changed & ~kMsrRing) | ring_ended) >> 4U);
}

void Serial::reset() {
  bool room{};
  {
    const std::scoped_lock lock{mutex_};
    state_ = {};
    settle();
    room = take_room_notice();
  }
  if (room && callbacks_.can_receive) callbacks_.can_receive();
}

}  // namespace pcivm::vmm
