// SPDX-License-Identifier: GPL-2.0-or-later
// A 16550A UART (National Semiconductor PC16550D), without the pace of a wire: what is sent has left at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>

#include "vmm/interrupts.hpp"

namespace pcivm::vmm {

/// Registers 0..7 on vCPU threads, receive() on any.
class Serial final {
 public:
  struct Callbacks {
    /// Bytes that the guest sent, in order; called with the lock held: never blocks, never calls back. See OutputRing.
    std::function<void(std::span<const std::byte>)> output;
    /// There is room again after receive() refused something; called without lock on a vCPU thread.
    std::function<void()> can_receive;
  };
  /// `line` outlives the object.
  Serial(InterruptLine& line, Callbacks callbacks) : line_{line}, callbacks_{std::move(callbacks)} {}

  /// Gives input to the guest; returns how many bytes from the front it took (FIFO full: fewer, down to 0). The rest is
  /// offered again after can_receive.
  [[nodiscard]] std::size_t receive(std::span<const std::byte> data);

  /// The low three bits of `port` are the register.
  [[nodiscard]] std::uint8_t read(std::uint16_t port);
  void write(std::uint16_t port, std::uint8_t value);
  void reset();

 private:
  struct State {
    std::deque<std::uint8_t> received;
    std::uint8_t ier{};
    std::uint8_t fcr{};
    std::uint8_t lcr{};
    std::uint8_t mcr{};
    std::uint8_t msr_changes{};  ///< the delta bits of MSR
    std::uint8_t scratch{};
    std::uint16_t divisor{12};
    bool transmitter_empty_pending{};  ///< THRE is an event: reading IIR or writing THR ends it
    bool overrun{};
    bool break_received{};
  };
  [[nodiscard]] bool loopback() const;
  [[nodiscard]] std::size_t capacity() const;
  [[nodiscard]] std::uint8_t modem_lines() const;
  [[nodiscard]] std::uint8_t line_status() const;
  [[nodiscard]] std::uint8_t interrupt_cause() const;
  [[nodiscard]] std::uint8_t read_register(unsigned index);
  void write_register(unsigned index, std::uint8_t value);
  void transmit(std::uint8_t value);
  void write_fifo_control(std::uint8_t value);
  void write_modem_control(std::uint8_t value);
  void settle();
  [[nodiscard]] bool take_room_notice();

  InterruptLine& line_;
  Callbacks callbacks_;
  std::mutex mutex_;
  State state_;     // guarded by mutex_
  bool refused_{};  // receive() took less than offered; guarded by mutex_
};

}  // namespace pcivm::vmm
