// SPDX-License-Identifier: GPL-2.0-or-later
// The CPUs of one boot and their threads.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "vmm/cpu_features.hpp"
#include "vmm/cpu_topology.hpp"
#include "vmm/kvm.hpp"
#include "vmm/vcpu.hpp"

namespace pcivm::vmm {

/// What the operator asked for, of what there is.
struct CpuWish {
  CpuTopology topology{};
  CpuidTable supported{};  ///< by the host (Kvm::supported_cpuid), asked once: it costs KVM a CPUID for each entry
  std::vector<const CpuFeature*> without{};
  std::vector<unsigned> pins{};  ///< the host's CPU for each; empty: the host chooses
};

/// Loop thread, except kick_boot_cpu(). A guest reboot makes a new set on a new VM, so that no register survives.
class CpuSet final {
 public:
  /// As the guest meets its CPUs first.
  enum class Origin : std::uint8_t {
    booted,  ///< with the MSRs that a firmware would have left
    reset    ///< out of reset, for a firmware
  };
  /// `port`, `kvm` and `vm` outlive the set.
  [[nodiscard]] static Result<std::unique_ptr<CpuSet>> create(IoctlPort& port, const Kvm& kvm, const Vm& vm,
                                                              const CpuWish& wish, Origin origin = Origin::booted);
  CpuSet(const CpuSet&) = delete;
  CpuSet& operator=(const CpuSet&) = delete;
  /// As stop().
  ~CpuSet();

  /// Starts the threads: CPU 0 at `boot`, the others wait for their startup IPI. `on_end` is called on the thread of
  /// each CPU that ends, once; what the wiring refers to outlives the set.
  using OnEnd = std::function<void(Result<Vcpu::End>)>;
  [[nodiscard]] Result<void> start(const CpuState& boot, const Vcpu::Wiring& wiring, OnEnd on_end);

  /// CPU 0 looks at the PIC again. Any thread.
  void kick_boot_cpu() { cpus_.front()->kick(); }
  /// Ends all CPUs and joins their threads. What a CPU may be waiting for in a device must have been released.
  void stop();
  /// Sum of all, so far.
  [[nodiscard]] ExitCounts counts() const;

 private:
  explicit CpuSet(std::vector<unsigned> pins) : pins_{std::move(pins)} {}
  std::vector<unsigned> pins_;
  std::vector<std::unique_ptr<Vcpu>> cpus_;
  std::vector<std::jthread> threads_;  // after cpus_: joined first
};

}  // namespace pcivm::vmm
