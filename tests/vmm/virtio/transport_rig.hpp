// SPDX-License-Identifier: GPL-2.0-or-later
// A virtio function on a bus, over a KVM that keeps routes, irqfds and doorbells, with a device that notes what it is
// told.
#pragma once

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/vmm/legacy_fakes.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"
#include "vmm/kvm_uapi.hpp"
#include "vmm/virtio/pci_transport.hpp"

namespace pcivm::test {

/// Two queues; eight bytes of configuration.
class NotingDevice final : public vmm::VirtioDevice {
 public:
  static vmm::VirtioIdentity describe() {
    return {.name = "noting",
            .type = 4,
            .pci_class = 0x00ff00,
            .features = vmm::virtio_features::kTransport | vmm::virtio_features::kPacked | 5,
            .queues = {8, 16},
            .config_length = 8,
            .one_doorbell = false};
  }
  [[nodiscard]] const vmm::VirtioIdentity& identity() const override { return identity_; }
  void read_config(std::uint32_t offset, std::span<std::byte> data) override {
    for (std::size_t index = 0; index < data.size(); ++index) data[index] = config.at(offset + index);
  }
  void write_config(std::uint32_t offset, std::span<const std::byte> data) override {
    for (std::size_t index = 0; index < data.size(); ++index) config.at(offset + index) = data[index];
  }
  [[nodiscard]] Result<void> start_queue(unsigned queue, const vmm::VirtioQueueSetup& setup,
                                         std::uint64_t features) override {
    if (setup.descriptors.value == kRefused) return fail(Errc::invalid, "refused");
    log.push_back("start " + std::to_string(queue));
    started[queue] = setup;
    negotiated = features;
    return {};
  }
  void stop_queue(unsigned queue) override {
    if (started.erase(queue) != 0) log.push_back("stop " + std::to_string(queue));
  }
  void reset() override { ++resets; }

  static constexpr std::uint64_t kRefused = 0xbad0000;
  std::array<std::byte, 8> config{};
  std::vector<std::string> log;
  std::map<unsigned, vmm::VirtioQueueSetup> started;
  std::uint64_t negotiated{};
  unsigned resets{};

 private:
  vmm::VirtioIdentity identity_ = describe();
};

struct TransportRig {
  static constexpr std::uint64_t kBar = 0xc0000000;
  static constexpr std::uint64_t kCommon = kBar;
  static constexpr std::uint64_t kIsr = kBar + 0x1000;
  static constexpr std::uint64_t kDevice = kBar + 0x2000;
  static constexpr std::uint64_t kNotify = kBar + 0x3000;
  static constexpr std::uint64_t kTable = kBar + 0x4000;

  TransportRig() {
    kernel.on<kvm_irqfd>(vmm::kvm::irqfd.number, [this](kvm_irqfd& request) {
      if ((request.flags & KVM_IRQFD_FLAG_DEASSIGN) == 0) return irqfds.insert(request.gsi).second ? 0 : -EBUSY;
      return irqfds.erase(request.gsi) != 0 ? 0 : -ENOENT;
    });
    kernel.on<kvm_ioeventfd>(vmm::kvm::ioeventfd.number, [this](kvm_ioeventfd& request) {
      if ((request.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) == 0)
        return doorbells.insert(request.addr).second ? 0 : -EEXIST;
      return doorbells.erase(request.addr) != 0 ? 0 : -ENOENT;
    });
    kernel.on<vmm::kvm::RoutingHead>(vmm::kvm::set_gsi_routing.number, [this](vmm::kvm::RoutingHead& table) {
      routes = table.nr;
      return 0;
    });
    auto made = std::make_unique<NotingDevice>();
    device = made.get();
    auto fresh =
        vmm::VirtioSignals::create("noting", 2, false, [this](const Error& error) { reports.push_back(error.text()); });
    signals = fresh->get();
    transport = std::make_unique<vmm::VirtioPciTransport>(std::move(*fresh), std::move(made), wiring);
    transport->place_bar(0, kBar);
    transport->connect(line);
  }

  std::uint32_t config(unsigned offset, unsigned width) {
    std::array<std::byte, 4> bytes{};
    transport->config_read(static_cast<std::uint16_t>(offset), std::span{bytes}.first(width));
    return static_cast<std::uint32_t>(vmm::load_le(std::span{bytes}.first(width)));
  }
  void set_config(unsigned offset, unsigned width, std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    vmm::store_le(bytes, value);
    transport->config_write(static_cast<std::uint16_t>(offset), std::span{bytes}.first(width));
  }
  std::uint64_t load(std::uint64_t address, unsigned width) {
    std::array<std::byte, 8> bytes{};
    memory.read(address, std::span{bytes}.first(width));
    return vmm::load_le(std::span{bytes}.first(width));
  }
  void store(std::uint64_t address, unsigned width, std::uint64_t value) {
    std::array<std::byte, 8> bytes{};
    vmm::store_le(bytes, value);
    memory.write(address, std::span{bytes}.first(width));
  }
  std::uint64_t common(unsigned field, unsigned width) { return load(kCommon + field, width); }
  void set_common(unsigned field, unsigned width, std::uint64_t value) { store(kCommon + field, width, value); }
  std::uint8_t status() { return static_cast<std::uint8_t>(common(VIRTIO_PCI_COMMON_STATUS, 1)); }
  void set_status(std::uint64_t value) { set_common(VIRTIO_PCI_COMMON_STATUS, 1, value); }

  // What a driver does.
  void enable() { set_config(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER); }
  void negotiate(std::uint64_t features) {
    set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE);
    set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (unsigned half = 0; half < 2; ++half) {
      set_common(VIRTIO_PCI_COMMON_GFSELECT, 4, half);
      set_common(VIRTIO_PCI_COMMON_GF, 4, features >> 32 * half & 0xffffffff);
    }
    set_status(0xb);
  }
  void place_queue(unsigned queue, std::uint64_t descriptors = 0x10000) {
    set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
    set_common(VIRTIO_PCI_COMMON_Q_MSIX, 2, queue);
    set_common(VIRTIO_PCI_COMMON_Q_DESCLO, 8, descriptors);
    set_common(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, 0x20000);
    set_common(VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x30000);
    set_common(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
  }
  static constexpr std::uint64_t kFeatures = vmm::virtio_features::kTransport;
  /// Both queues, up to DRIVER_OK.
  void run(std::uint64_t features = kFeatures) {
    enable();
    negotiate(features);
    place_queue(0);
    place_queue(1);
    set_status(0xf);
  }
  void unmask(unsigned vector) {
    store(kTable + 16 * vector, 8, 0xfee00000);
    store(kTable + 16 * vector + 8, 8, 0x40 + vector);
  }
  void use_msix() { set_config(0x42, 2, PCI_MSIX_FLAGS_ENABLE); }

  FakeIoctls kernel;
  std::set<std::uint32_t> irqfds;     // by GSI
  std::set<std::uint64_t> doorbells;  // by address
  unsigned routes{};
  Fd vm = make_eventfd().value();
  vmm::IoBus memory;
  vmm::InterruptRoutes interrupt_routes{kernel, vm.ref()};
  vmm::Doorbells kvm_doorbells{kernel, vm.ref()};
  vmm::test::FakeLine line;
  std::vector<std::string> reports;
  vmm::VirtioWiring wiring{.memory = memory,
                           .routes = interrupt_routes,
                           .doorbells = kvm_doorbells,
                           .may_decode = [](std::uint64_t address, std::uint64_t length) {
                             return address >= kBar && fits(address - kBar, length, 0x10000000);
                           }};
  NotingDevice* device{};
  vmm::VirtioSignals* signals{};
  std::unique_ptr<vmm::VirtioPciTransport> transport;  // goes first
};

}  // namespace pcivm::test
