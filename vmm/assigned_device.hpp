// SPDX-License-Identifier: GPL-2.0-or-later
// A host PCI function as the guest sees it: configuration space with patches, BARs straight in the guest's address
// space except for the MSI-X pages, MSI-X by irqfd (docs/architecture.md, "Life of an assigned device").
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vfio/device.hpp"
#include "vfio/opened.hpp"
#include "vmm/assigned_function.hpp"
#include "vmm/assigned_wiring.hpp"
#include "vmm/bar_registers.hpp"
#include "vmm/pci_device.hpp"

namespace pcivm::vmm {

/// Life: made from the facts of vfio::open_devices -> BARs placed -> guest starts -> deliver() by the thread that
/// opened the device -> guest uses it -> release() with the vCPUs stopped -> DMA space and descriptors go.
///
/// Any thread. One mutex; under it the locks of the buses, slots and routes are taken, never the other way round.
class AssignedDevice final : public PciDevice {
 public:
  /// Fails only when no eventfd can be made.
  [[nodiscard]] static Result<std::unique_ptr<AssignedDevice>> create(const vfio::OpenedDevice& facts,
                                                                      const AssignedWiring& wiring);
  AssignedDevice(const AssignedDevice&) = delete;
  AssignedDevice& operator=(const AssignedDevice&) = delete;
  ~AssignedDevice() override;

  /// Hands over the open device, or why there is none: the function then reads as all-ones, as one that was pulled.
  /// Configuration accesses wait for this. Only the first call counts, so a stopping machine may free the waiters with
  /// an error. Fails when the device contradicts the facts the guest was built on, or with the error handed in; both
  /// name the function.
  Result<void> deliver(Result<std::unique_ptr<vfio::Device>> opened);

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::vector<BarRequest> bars() const override;
  void place_bar(unsigned index, std::uint64_t address) override;
  void config_read(std::uint16_t offset, std::span<std::byte> data) override;
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;
  void decode_again() override;

  /// Signalled when the host wants the device back (driver unbind, device removal), and when the device reported an
  /// uncorrectable error. The machine watches both; they live as long as this object.
  [[nodiscard]] FdRef request_event() const { return request_.ref(); }
  [[nodiscard]] FdRef error_event() const { return error_.ref(); }

  /// Nothing while the device is not open, or at work: does not wait.
  [[nodiscard]] std::optional<VectorUse> vectors();
  /// The lines of its slot; before the guest can use it.
  void connect_intx(const IntxLines& lines);
  /// Signalled when the device asserts INTx: then interrupt(), which is loop thread's. Lives as long as this object.
  [[nodiscard]] FdRef intx_event() const { return intx_.ref(); }
  void interrupt();
  /// The guest finished an interrupt of that pin (0 = INTA).
  void end_of_interrupt(unsigned pin);
  /// The guest listens to INTx `pin` (0 to 3) from now on. Any thread.
  void want_intx(unsigned pin);

  /// Back to the state of power-on, with the vCPUs stopped: no bus mastering, no interrupts, VFIO_DEVICE_RESET, BARs
  /// where the firmware had put them.
  [[nodiscard]] Result<void> reset_for_reboot();

  /// Takes irqfds, interrupts, guest mappings away, in this order; afterwards the function reads as all-ones. The
  /// device stays open until the object goes. Idempotent; also done by the destructor.
  void release();
  /// release(), then closes the device. No access may be in progress.
  void close();

 private:
  struct Events {
    Fd request;
    Fd error;
    Fd intx;
  };
  AssignedDevice(const vfio::OpenedDevice& facts, const AssignedWiring& wiring, Events events);
  [[nodiscard]] Result<std::unique_ptr<AssignedFunction>> build(std::unique_ptr<vfio::Device> device);
  [[nodiscard]] Result<void> arm(const vfio::Device& device) const;
  void read_rom(vfio::Device& device);
  /// The function once delivered, null when it failed or was released. Waits.
  [[nodiscard]] AssignedFunction* function(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool dma_allowed();
  void report(const Error& error);

  std::string name_;
  AssignedWiring wiring_;  // its report is our limited one
  std::function<void(const Error&)> forward_report_;
  Fd request_;
  Fd error_;
  Fd intx_;
  std::atomic<unsigned> reports_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool own_rom_;                                // the device's, else rom_
  std::vector<std::byte> rom_;                  // guarded by mutex_; until the function has it
  bool delivered_{false};                       // guarded by mutex_
  bool released_{false};                        // guarded by mutex_
  IntxLines intx_lines_{};                      // guarded by mutex_
  BarRegisters registers_;                      // guarded by mutex_
  std::optional<unsigned> msix_bar_;            // of ours
  std::vector<std::uint64_t> placed_;           // by BAR index; guarded by mutex_
  std::unique_ptr<AssignedFunction> function_;  // guarded by mutex_; goes before what it refers to
};

}  // namespace pcivm::vmm
