// SPDX-License-Identifier: GPL-2.0-or-later
// All virtio devices of a VM, made and put on the bus.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "base/event_loop.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vmm/bar_plan.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/virtio/console.hpp"
#include "vmm/virtio/iommu_domains.hpp"
#include "vmm/virtio/mem.hpp"
#include "vmm/virtio/pci_transport.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

/// Loop thread. Destroyed when no vCPU runs; what the devices are doing is waited for.
class VirtioSet final {
 public:
  /// All of it outlives the set.
  struct Wiring {
    IoctlPort& port;
    EventLoop& loop;
    const GuestMemory& memory;
    IoBus& mmio;
    InterruptRoutes& routes;
    Doorbells& doorbells;
    PciBus& bus;
    IommuDomains& domains;
    MemoryBlocks* blocks{};  ///< of VirtioConfig::memory
    platform::PciWindows windows;
    std::function<InterruptLine&(Gsi)> connect;
    VirtioConsole::Callbacks console;
    std::function<void(const Error&)> report;  ///< the VM goes on, on any thread
  };
  /// `first` is the index in `bars` of the first device.
  [[nodiscard]] static Result<std::unique_ptr<VirtioSet>> create(VirtioConfig config, const BarPlan& bars,
                                                                 std::size_t first, Wiring wiring);
  VirtioSet(const VirtioSet&) = delete;
  VirtioSet& operator=(const VirtioSet&) = delete;
  ~VirtioSet() = default;

  /// None when there is no such device.
  [[nodiscard]] VirtioConsole* console() const { return console_; }
  [[nodiscard]] VirtioMem* memory() const { return memory_; }
  /// All devices to power-on state, for a guest reboot, with the vCPUs stopped and the old VM still there.
  void reset_all();

 private:
  explicit VirtioSet(Wiring wiring) : wiring_{std::move(wiring)} {}
  using Make = std::function<Result<std::unique_ptr<VirtioDevice>>(VirtioSignals&)>;
  [[nodiscard]] Result<void> build(VirtioConfig config, const BarPlan& bars, std::size_t first);
  [[nodiscard]] Result<std::unique_ptr<VirtioDevice>> make_memory(VirtioSignals& signals);
  [[nodiscard]] Result<std::unique_ptr<VirtioDevice>> make_console(ConsoleConfig config, VirtioSignals& signals);
  [[nodiscard]] Result<void> add(const VirtioIdentity& identity, const BarPlan& bars, std::size_t index,
                                 const Make& make);

  Wiring wiring_;
  std::vector<std::unique_ptr<VirtioPciTransport>> transports_;
  VirtioConsole* console_{};  // of one of them, as is the next
  VirtioMem* memory_{};
};

}  // namespace pcivm::vmm
