// SPDX-License-Identifier: GPL-2.0-or-later
// One virtual CPU and its run loop.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/mapping.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/kvm.hpp"

namespace pcivm::vmm {

/// How a CPU starts: the few registers that boot protocols name. Everything else is as after a reset.
struct CpuState {
  enum class Mode : std::uint8_t {
    real16,       ///< flat at 0, for tests
    protected32,  ///< PVH: paging off, flat segments
    long64,       ///< Linux 64-bit entry: identity-mapped by the page tables at `page_tables`
    reset,        ///< a firmware's first instruction, 16 bytes below 4 GiB
  };
  Mode mode{Mode::real16};
  std::uint64_t rip{};
  std::uint64_t rsi{};
  std::uint64_t rbx{};
  Gpa page_tables{};  ///< long64 only
  Gpa gdt{};          ///< kBootGdtEntries descriptors, see boot_linux.hpp
};

/// The interrupt controllers outside KVM, as a CPU meets them. On vCPU threads.
class InterruptAcknowledge {
 public:
  virtual ~InterruptAcknowledge() = default;
  /// KVM's local APIC saw the EOI of a vector that an IOAPIC pin routes to.
  virtual void end_of_interrupt(std::uint8_t vector) = 0;
  /// The 8259 pair asserts INTR.
  virtual bool pic_pending() = 0;
  /// The INTA cycle: the vector, or none when the request went away.
  virtual std::optional<std::uint8_t> pic_acknowledge() = 0;
};

/// Exits to user space by reason.
struct ExitCounts {
  std::uint64_t port_in{};
  std::uint64_t port_out{};
  std::uint64_t mmio_read{};
  std::uint64_t mmio_write{};
  std::uint64_t ioapic_eoi{};
  std::uint64_t irq_window{};
  std::uint64_t interrupted{};
  std::uint64_t other{};
  ExitCounts& operator+=(const ExitCounts& more);
  [[nodiscard]] std::uint64_t total() const;
};

/// Owned by the machine; run() on a thread of its own, everything else before it or where said.
class Vcpu final {
 public:
  struct Wiring {
    const IoBus& ports;
    const IoBus& memory;
    InterruptAcknowledge& interrupts;
  };
  enum class End : std::uint8_t {
    stopped,       ///< stop() was called
    triple_fault,  ///< the guest's way to reset when all else fails
  };

  [[nodiscard]] static Result<std::unique_ptr<Vcpu>> create(IoctlPort& port, const Kvm& kvm, const Vm& vm,
                                                            unsigned index);
  [[nodiscard]] Result<std::uint32_t> tsc_khz() const;
  [[nodiscard]] Result<void> set_cpuid(const CpuidTable& table) const;
  /// The MSRs that firmware leaves set on every CPU: MTRRs on with write-back as default, fast string operations.
  [[nodiscard]] Result<void> set_firmware_msrs() const;
  /// Only the boot CPU; the others wait for INIT and SIPI in KVM.
  [[nodiscard]] Result<void> set_state(const CpuState& state) const;

  /// Runs the guest until stop(), a triple fault, or an error of KVM's (its text has the details). kick_signal() must
  /// have a handler.
  [[nodiscard]] Result<End> run(const Wiring& wiring);

  /// Makes run() look at the interrupt controllers again. Any thread; cheap when not running.
  void kick();
  /// Makes run() return soon. Any thread; final.
  void stop();

  /// So far. Any thread.
  [[nodiscard]] ExitCounts counts() const;

  /// The signal that interrupts KVM_RUN; install_kick_handler() once a process, before the first run().
  [[nodiscard]] static int kick_signal();
  static void install_kick_handler();

 private:
  Vcpu(IoctlPort& port, unsigned index, Fd fd, Mapping mapping);
  void enter_thread();
  void leave_thread();
  [[nodiscard]] Result<void> offer_interrupt(InterruptAcknowledge& interrupts);
  [[nodiscard]] Result<std::optional<End>> handle_exit(const Wiring& wiring);
  void port_access(const IoBus& ports);
  void memory_access(const IoBus& memory);
  [[nodiscard]] Error describe_failure() const;

  IoctlPort& port_;
  unsigned index_;
  Fd fd_;
  Mapping mapping_;
  kvm_run* run_;               // inside mapping_
  mutable ExitCounts counts_;  // written by run() alone, in whole words; atomic_ref wants it mutable
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::optional<pthread_t> thread_;  // set while run() runs; guarded by mutex_
};

}  // namespace pcivm::vmm
