// SPDX-License-Identifier: GPL-2.0-or-later
// The assigned devices of a VM and the memory that they reach. Opened, mapped, reset and closed beside everything else,
// because each costs a function level reset of 0.1 s or the pinning of all RAM (docs/adr/0001-start-threads.md).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/event_loop.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"
#include "vmm/assigned_device.hpp"
#include "vmm/bar_plan.hpp"
#include "vmm/dma_ready.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/kvm.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/timeline.hpp"

namespace pcivm::vmm {

struct DmaFigures {
  std::uint64_t mapped_bytes{};
  std::uint64_t runs{};
  std::uint64_t huge_run_bytes{};
};

/// Loop thread. Life: create -> connect -> open_all -> map_ram -> (reset_all -> connect a new VM)* -> close.
class DeviceSet final {
 public:
  struct Wiring {
    IoctlPort& port;
    EventLoop& loop;
    const GuestMemory& memory;
    IoBus& ports;
    IoBus& mmio;
    MemorySlots& slots;
    InterruptRoutes& routes;
    PciBus& bus;
    Timeline& timeline;
    platform::PciWindows windows;
    std::function<void(Bdf)> wanted;           ///< the host wants it back; loop thread, again and again
    std::function<void(Error)> fail;           ///< the VM must end, on any thread
    std::function<void(const Error&)> report;  ///< the VM goes on, on any thread
  };
  /// Makes the space for their DMA and puts the devices on the bus. An empty `opened` gives an empty set.
  [[nodiscard]] static Result<std::unique_ptr<DeviceSet>> create(vfio::OpenedVfio opened, const BarPlan& bars,
                                                                 Wiring wiring);
  DeviceSet(const DeviceSet&) = delete;
  DeviceSet& operator=(const DeviceSet&) = delete;
  /// As close().
  ~DeviceSet();

  /// Tells `vm` of all groups or devices. It outlives the connection.
  [[nodiscard]] Result<void> connect(Vm& vm);
  /// It knows of none any more. Also done by close().
  void disconnect();
  /// Opens and attaches every device, each on its own thread; returns at once. Once.
  void open_all();
  /// Populates RAM and maps it for DMA on a thread; returns at once. Once, when the guest runs already: the page faults
  /// of the two would slow the loading of the kernel.
  void map_ram();

  /// Frees whoever waits for a device or for the mapping: they see the device as pulled. Before vCPUs are joined.
  void abandon();
  /// All devices to power-on state, at once. With the vCPUs stopped; waits for what is still under way.
  [[nodiscard]] Result<void> reset_all();
  /// Closes every device, at once, then the space. With the vCPUs stopped.
  void close();

  [[nodiscard]] DmaFigures figures() const { return figures_; }  ///< after close() or reset_all()

 private:
  explicit DeviceSet(Wiring wiring) : wiring_{std::move(wiring)} {}
  [[nodiscard]] Result<void> add(const vfio::OpenedDevice& facts, const BarPlan& bars);
  [[nodiscard]] Result<void> watch(AssignedDevice& device, Bdf address);
  void open(std::size_t index);
  void map_memory();
  /// One of what DMA waits for is through: the mapping, or a device's attachment.
  void end_part(Result<void> outcome);

  Wiring wiring_;
  DmaReady dma_;
  struct Opening {
    Bdf device;
    vfio::UnprovenReset unproven;
  };
  std::vector<Opening> openings_;          // of each device
  std::unique_ptr<vfio::DmaSpace> space_;  // outlives the devices
  Vm* vm_{};                               // the one that is connected
  std::vector<std::unique_ptr<AssignedDevice>> devices_;
  std::vector<Watch> watches_;  // on events of devices_
  std::atomic<std::size_t> opening_{0};
  std::atomic<std::size_t> dma_parts_{0};
  DmaFigures figures_;  // written by the mapping thread, read after it is joined
  std::vector<std::jthread> threads_;
};

}  // namespace pcivm::vmm
