// SPDX-License-Identifier: GPL-2.0-or-later
// A virtio device as a PCI function (virtio 1.2, 4.1), modern only: configuration space, one memory BAR with all
// structures and the MSI-X table, doorbells by KVM_IOEVENTFD, interrupts by irqfd, or INTx for a driver without MSI-X.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "vmm/doorbells.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/msix.hpp"
#include "vmm/pci_device.hpp"
#include "vmm/trapped_bar.hpp"
#include "vmm/virtio/common_registers.hpp"
#include "vmm/virtio/device.hpp"
#include "vmm/virtio/event_vectors.hpp"
#include "vmm/virtio/signals.hpp"

namespace pcivm::vmm {

/// All of it outlives the transport.
struct VirtioWiring {
  IoBus& memory;
  InterruptRoutes& routes;
  Doorbells& doorbells;
  /// As in AssignedWiring.
  std::function<bool(std::uint64_t address, std::uint64_t length)> may_decode;
};

/// Any thread. One mutex; under it the locks of the device, then of buses, doorbells and routes.
class VirtioPciTransport final : public PciDevice, private IoHandler {
 public:
  static constexpr unsigned kBar = 0;
  /// What every device asks of the address allocator, known before there is one.
  [[nodiscard]] static BarRequest bar_request();

  VirtioPciTransport(std::unique_ptr<VirtioSignals> signals, std::unique_ptr<VirtioDevice> device,
                     const VirtioWiring& wiring);
  VirtioPciTransport(const VirtioPciTransport&) = delete;
  VirtioPciTransport& operator=(const VirtioPciTransport&) = delete;
  ~VirtioPciTransport() override;

  /// The wire of INTA.
  void connect(InterruptLine& line) { signals_->connect(line); }

  [[nodiscard]] std::string_view name() const override { return device_->identity().name; }
  [[nodiscard]] std::vector<BarRequest> bars() const override { return {bar_request()}; }
  void place_bar(unsigned index, std::uint64_t address) override;
  void config_read(std::uint16_t offset, std::span<std::byte> data) override;
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;
  void decode_again() override;

  /// To the state of power-on, with the vCPUs stopped: the BAR where the firmware had put it, nothing of KVM's left.
  void reset();

 private:
  // IoHandler: the BAR.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  void build_config();
  std::uint8_t add_structure(std::uint8_t at, std::uint8_t type, std::uint32_t offset, std::uint32_t length);
  void bar_read(std::uint64_t offset, std::span<std::byte> data);
  void bar_write(std::uint64_t offset, std::span<const std::byte> data);
  [[nodiscard]] std::byte config_byte(std::uint16_t offset) const;
  void write_command(std::uint16_t value);
  void write_msix_control(std::uint16_t value);
  void read_window(std::span<std::byte> data);
  void write_window(std::span<const std::byte> data);
  [[nodiscard]] std::optional<std::uint32_t> window_offset(std::size_t length) const;
  void ring(std::uint64_t offset);
  void decode();
  void follow_doorbells();
  void report(Result<void> outcome) const;

  std::unique_ptr<VirtioSignals> signals_;  // the device uses it to its end
  std::unique_ptr<VirtioDevice> device_;
  VirtioWiring wiring_;
  MessageVectors::Report report_;
  std::mutex mutex_;  // guards all below
  TrappedBar bar_;
  std::array<std::byte, 256> config_{};  // as the guest reads it, but for what is computed
  std::uint16_t command_{};
  std::uint8_t window_{};                   // offset of the capability for access through configuration space
  std::optional<std::uint64_t> listening_;  // where the doorbells are attached
  CommonRegisters common_;
  EventVectors vectors_;
  Msix msix_;
};

}  // namespace pcivm::vmm
