// SPDX-License-Identifier: GPL-2.0-or-later
// One VM, from open descriptors to its end. Only wires: every part builds itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/event_loop.hpp"
#include "base/result.hpp"
#include "vmm/console_input.hpp"
#include "vmm/counting_ioctl.hpp"
#include "vmm/cpu_set.hpp"
#include "vmm/device_set.hpp"
#include "vmm/doorbells.hpp"
#include "vmm/firmware.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/hotplug_slots.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/kvm.hpp"
#include "vmm/legacy/chipset.hpp"
#include "vmm/legacy/debug_exit.hpp"
#include "vmm/legacy/output_ring.hpp"
#include "vmm/memory_blocks.hpp"
#include "vmm/memory_slots.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/smbios.hpp"
#include "vmm/timeline.hpp"
#include "vmm/virtio/virtio_set.hpp"
#include "vmm/vm_config.hpp"
#include "vmm/watchdog.hpp"

namespace pcivm::vmm {

enum class VmEnd : std::uint8_t {
  power_off,  ///< the guest powered itself off
  reboot,     ///< the guest rebooted, and OnReboot::exit
  killed,     ///< the operator ended it without asking the guest (escape key, second signal, deadline)
};

/// Loop thread. A guest reboot keeps memory, DMA mappings, open devices, the chipset and the buses, each reset; the
/// KVM VM and its CPUs are made anew, so that nothing of theirs survives.
///
/// When the host wants a function back, that is told to the supervisor, and run() fails with Errc::busy however the
/// guest then ends, unless OnRequest::ignore. When a function reports an uncorrectable error that is told too, and
/// run() fails with Errc::kernel unless OnError says that the VM goes on.
class Machine final {
 public:
  /// Starts what may go on in the background already. `port` is where all requests but KVM_RUN are counted; all three
  /// references outlive the machine.
  [[nodiscard]] static Result<std::unique_ptr<Machine>> create(VmConfig config, EventLoop& loop, CountingIoctl& port,
                                                               Timeline& timeline);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  /// Runs the guest to its end, then closes its devices. Once.
  [[nodiscard]] Result<VmEnd> run();
  /// So far.
  [[nodiscard]] TimelineReport report();

 private:
  enum class Outcome : std::uint8_t { power_off, reset, killed };
  class Interrupts;
  class InitPort;

  Machine(VmConfig config, EventLoop& loop, CountingIoctl& port, Timeline& timeline, Kvm kvm, Vm vm,
          GuestMemory memory);
  [[nodiscard]] Result<void> build();
  [[nodiscard]] Result<void> build_console();
  [[nodiscard]] Result<void> build_devices();
  [[nodiscard]] Result<void> build_watchdog(std::size_t index);
  [[nodiscard]] Result<void> build_firmware();
  [[nodiscard]] Result<void> build_debug_exit();
  [[nodiscard]] Result<void> build_hotplug();
  void build_blocks();
  [[nodiscard]] std::optional<AcpiIommu> acpi_iommu() const;
  [[nodiscard]] std::optional<AcpiMemory> acpi_memory() const;
  [[nodiscard]] Result<void> add_ram();
  [[nodiscard]] Result<void> write_tables();
  [[nodiscard]] SmbiosConfig smbios_facts() const;
  [[nodiscard]] Result<CpuState> load_kernel();
  [[nodiscard]] Result<CpuState> load_firmware();
  [[nodiscard]] platform::PciWindows windows() const;
  [[nodiscard]] Result<void> boot();
  [[nodiscard]] Result<void> await_settled();
  [[nodiscard]] Result<void> prepare_reboot();
  [[nodiscard]] std::size_t deliver(std::span<const std::byte> input);
  [[nodiscard]] ChipsetCallbacks chipset_callbacks();
  void on_control();
  void on_memory_byte(char byte);
  void tell_memory();
  void tell(std::string_view line);
  void tell_figures();
  void on_plug();
  [[nodiscard]] Result<void> carry_out(PlugRequest request);
  void tell_plug(const PlugReport& report);
  void on_wanted(Bdf function);
  void on_failed(Bdf function);
  [[nodiscard]] OnError contain(Bdf function);
  void ask_to_power_off();
  [[nodiscard]] Result<void> await(std::function<void()> then);
  void on_debug_exit(std::uint32_t number);
  void on_watchdog();
  void on_cpu_end(Result<Vcpu::End> end);
  void request(Outcome outcome);
  void fail_with(Error error);
  void end(Outcome outcome);
  void stop_cpus();

  VmConfig config_;
  EventLoop& loop_;
  CountingIoctl& port_;
  Timeline& timeline_;
  Kvm kvm_;
  std::optional<Vm> vm_;
  GuestMemory memory_;
  IoBus ports_;
  IoBus mmio_;
  MemorySlots slots_;
  InterruptRoutes routes_;
  Doorbells doorbells_;
  PciBus bus_;
  Gpa rsdp_{};
  std::unique_ptr<OutputRing> output_;
  std::unique_ptr<InitPort> init_port_;
  std::unique_ptr<DebugExit> debug_exit_;  // when it was asked for
  std::unique_ptr<Chipset> chipset_;
  std::unique_ptr<Interrupts> interrupts_;
  IommuDomains domains_;
  std::unique_ptr<MemoryBlocks> blocks_;    // none: no RAM comes or goes
  std::optional<std::string> memory_size_;  // of a request that is being read
  std::uint32_t assigned_slots_{};          // of devices that are there at the start; one bit each
  std::uint32_t hotplug_slots_{};           // one bit each
  std::unique_ptr<HotplugSlots> hotplug_;   // none in a machine without
  std::unique_ptr<DeviceSet> devices_;
  std::unique_ptr<VirtioSet> virtio_;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<Firmware> firmware_;  // none in a machine that boots a kernel
  std::unique_ptr<ConsoleInput> input_;
  Watch control_;
  Watch plug_;
  std::vector<Bdf> wanted_;  // back by the host
  bool powers_off_{};        // is asked to, for that
  Fd patience_;              // of the host with the guest
  Watch patience_over_;
  Fd settled_;
  Watch settled_watch_;
  std::unique_ptr<CpuSet> cpus_;  // their threads use all of the above
  ExitCounts exits_;
  std::uint64_t boots_{};
  std::optional<Outcome> outcome_;
  std::optional<Error> failure_;
};

}  // namespace pcivm::vmm
