// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-console (virtio 1.2, 5.3): the guest's hvc0, and named ports for agents.
#pragma once

#include <linux/virtio_console.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/virtio/console_port.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/queues.hpp"
#include "vmm/virtio/signals.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// Works on the loop thread, where it is made and destroyed; emergency output comes on vCPU threads. A driver without
/// VIRTIO_CONSOLE_F_MULTIPORT has the console alone.
class VirtioConsole final : public VirtioDevice {
 public:
  struct Callbacks {
    /// What the guest says on its console. Any thread; must not block: OutputRing::push.
    std::function<void(std::span<const std::byte>)> output;
    /// receive() may take more. Loop thread.
    std::function<void()> can_receive;
  };
  [[nodiscard]] static VirtioIdentity describe(const ConsoleConfig& config);
  /// All outlive the device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioConsole>> create(ConsoleConfig config, EventLoop& loop,
                                                                     const GuestMemory& memory, VirtioSignals& signals,
                                                                     Callbacks callbacks);

  /// Gives input to the guest's console; how many bytes from the front it took. Loop thread.
  [[nodiscard]] std::size_t receive(std::span<const std::byte> data);
  /// The guest has a driver for the console. Loop thread.
  [[nodiscard]] bool open();
  /// The terminal that shows the console has this size. Loop thread.
  void resize(std::uint16_t columns, std::uint16_t rows);
  /// Of the named ports, in order. Loop thread.
  [[nodiscard]] std::vector<PortFigures> ports();

  [[nodiscard]] const VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override;
  void write_config(std::uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] Result<void> start_queue(unsigned queue, const VirtioQueueSetup& setup,
                                         std::uint64_t features) override;
  void stop_queue(unsigned queue) override;
  void reset() override;

 private:
  /// A port as the driver knows it.
  struct Told {
    bool ready{};            ///< the driver has made it
    bool open{};             ///< by the guest
    unsigned due{};          ///< messages that it is to get, a bit each, in order
    std::uint64_t client{};  ///< ConsolePort::client, as it was told
  };
  using Message = virtio_console_control;
  VirtioConsole(ConsoleConfig config, const GuestMemory& memory, VirtioSignals& signals, Callbacks callbacks);
  [[nodiscard]] Result<void> build(EventLoop& loop, std::vector<ConsolePortConfig> ports);
  void on_doorbell();
  [[nodiscard]] std::uint32_t say(const VirtioChain& chain) const;
  [[nodiscard]] bool exists(std::uint32_t id) const { return id != 0 ? id < told_.size() : terminal_; }
  [[nodiscard]] bool console_open() const { return multiport_ ? told_[0].open : queues_.active(0); }
  void hear(const VirtioChain& chain);
  void tell();
  [[nodiscard]] std::optional<Message> due(std::uint32_t id) const;
  void write(const Message& message, const VirtioChain& chain);
  void note_told(const Message& message);

  bool terminal_;
  VirtioIdentity identity_;
  VirtioSignals& signals_;
  VirtioQueues queues_;
  Callbacks callbacks_;
  // Guarded by the lock of queues_.
  virtio_console_config registers_{};
  bool multiport_{};
  std::vector<Told> told_;                           // by port
  std::vector<std::unique_ptr<ConsolePort>> ports_;  // from port 1 on
  Watch doorbell_;
};

}  // namespace pcivm::vmm
