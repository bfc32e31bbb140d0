// SPDX-License-Identifier: GPL-2.0-or-later
// A host PCI function as the guest sees it: configuration space with patches, BARs straight in the guest's address
// space except for the MSI-X pages, MSI-X by irqfd (docs/architecture.md, "Life of an assigned device").
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vfio/device.hpp"
#include "vfio/opened.hpp"
#include "vmm/dma_ready.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/memory_slots.hpp"
#include "vmm/pci_device.hpp"

namespace pcivm::vmm {

/// What an assigned device works with; all of it outlives the device.
struct AssignedWiring {
  IoBus& memory;
  IoBus& ports;
  MemorySlots& slots;
  InterruptRoutes& routes;
  const DmaReady& dma;
  /// True when a memory BAR may be decoded at [address, address + length): inside a PCI window, so in neither RAM nor
  /// ECAM nor an interrupt controller. A guest may write any address into a BAR; one that may not is kept in the
  /// register and not decoded.
  std::function<bool(std::uint64_t address, std::uint64_t length)> may_decode;
  /// Told of what went wrong while the guest runs on, on any thread, with the device's lock held: it must not call the
  /// device. What is reported repeatedly is limited to the first kMostReports.
  std::function<void(const Error&)> report;
};

/// Life: made from the facts of vfio::open_devices -> BARs placed -> guest starts -> deliver() by the thread that
/// opened the device -> guest uses it -> release() with the vCPUs stopped -> DMA space and descriptors go.
///
/// Any thread. One mutex; under it the locks of the buses, slots and routes are taken, never the other way round.
class AssignedDevice final : public PciDevice {
 public:
  /// Fails only when no eventfd can be made.
  [[nodiscard]] static Result<std::unique_ptr<AssignedDevice>> create(const vfio::OpenedDevice& facts,
                                                                      AssignedWiring wiring);
  AssignedDevice(const AssignedDevice&) = delete;
  AssignedDevice& operator=(const AssignedDevice&) = delete;
  ~AssignedDevice() override;

  /// Hands over the open device, or why there is none: the function then reads as all-ones, as one that was pulled.
  /// Configuration accesses wait for this. Only the first call counts, so a stopping machine may free the waiters with
  /// an error. Fails when the device contradicts the facts the guest was built on, or with the error handed in.
  Result<void> deliver(Result<std::unique_ptr<vfio::Device>> opened);

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::vector<BarRequest> bars() const override;
  void place_bar(unsigned index, std::uint64_t address) override;
  void config_read(std::uint16_t offset, std::span<std::byte> data) override;
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;

  /// Signalled when the host wants the device back (driver unbind, device removal), and when the device reported an
  /// uncorrectable error. The machine watches both; they live as long as this object.
  [[nodiscard]] FdRef request_event() const { return request_.ref(); }
  [[nodiscard]] FdRef error_event() const { return error_.ref(); }

  /// Back to the state of power-on, with the vCPUs stopped: no bus mastering, no interrupts, VFIO_DEVICE_RESET, BARs
  /// where the firmware had put them.
  [[nodiscard]] Result<void> reset_for_reboot();

  /// Takes irqfds, interrupts, guest mappings away, in this order; afterwards the function reads as all-ones. The
  /// device stays open until the object goes. Idempotent; also done by the destructor.
  void release();

 private:
  struct State;
  AssignedDevice(const vfio::OpenedDevice& facts, AssignedWiring wiring, Fd request, Fd error);
  [[nodiscard]] bool wait_until_delivered(std::unique_lock<std::mutex>& lock);

  std::string name_;
  Fd request_;
  Fd error_;
  std::mutex mutex_;
  std::condition_variable delivered_;
  std::unique_ptr<State> state_;  // its fields: guarded by mutex_
};

}  // namespace pcivm::vmm
