// SPDX-License-Identifier: GPL-2.0-or-later
// A watchdog timer as a PCI function: Intel 6300ESB ("6300ESB I/O Controller Hub", 16), for which Linux has a driver
// (i6300esb). Two timers run one after the other unless the guest reloads them; after the second one the machine is
// reset, or what else was asked for.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/pci_device.hpp"
#include "vmm/trapped_bar.hpp"

namespace pcivm::vmm {

/// Accesses on any thread, under one mutex; made, destroyed and expiring on the loop thread.
class Watchdog final : public PciDevice, private IoHandler {
 public:
  /// All of it outlives the function.
  struct Wiring {
    EventLoop& loop;
    IoBus& memory;
    /// As in AssignedWiring.
    std::function<bool(std::uint64_t address, std::uint64_t length)> may_decode;
    /// The guest did not reload the timers in time. Loop thread.
    std::function<void()> expired;
    std::function<void(const Error&)> report;
  };
  [[nodiscard]] static BarRequest bar_request();
  [[nodiscard]] static Result<std::unique_ptr<Watchdog>> create(Wiring wiring);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() override;

  [[nodiscard]] std::string_view name() const override { return "watchdog"; }
  [[nodiscard]] std::vector<BarRequest> bars() const override { return {bar_request()}; }
  void place_bar(unsigned index, std::uint64_t address) override;
  void config_read(std::uint16_t offset, std::span<std::byte> data) override;
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;
  void decode_again() override;

  /// To the state of power-on, with the vCPUs stopped; that it expired is kept, for the driver to tell.
  void reset();

 private:
  Watchdog(Wiring wiring, Fd timer);
  // IoHandler: the BAR.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  [[nodiscard]] std::byte config_byte(std::uint16_t offset) const;
  void write_lock_register(std::uint8_t value);
  void write_register(std::uint64_t offset, std::uint32_t value);
  void decode();
  void arm();
  void disarm();
  [[nodiscard]] std::chrono::nanoseconds period(unsigned stage) const;
  void on_timer();
  [[nodiscard]] bool enabled() const;

  Wiring wiring_;
  Fd timer_;
  std::mutex mutex_;  // guards all below
  TrappedBar bar_;
  std::array<std::byte, 256> config_{};
  std::uint16_t command_{};
  std::array<std::uint32_t, 2> preload_{0xfffff, 0xfffff};
  unsigned unlocked_{};  // how much of the sequence was written
  unsigned stage_{};     // which timer runs
  bool expired_{};
  Watch watch_;
};

}  // namespace pcivm::vmm
