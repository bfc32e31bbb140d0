// SPDX-License-Identifier: GPL-2.0-or-later
// What CPUID tells the guest: what KVM supports, minus nested virtualization, with the topology of this VM.
#pragma once

#include <cstdint>

#include "vmm/cpu_topology.hpp"
#include "vmm/kvm.hpp"

namespace pcivm::vmm {

struct CpuidFacts {
  CpuTopology cpus{};
  std::uint32_t tsc_khz{};    ///< 0 = unknown, the frequency leaves stay as they are
  bool tsc_deadline_timer{};  ///< KVM_CAP_TSC_DEADLINE_TIMER
};

/// The table of this VM but for the APIC id, computed once. Cache and topology leaves of the host would
/// describe CPUs that the guest does not have.
[[nodiscard]] CpuidTable cpuid_of_vm(const CpuidTable& supported, const CpuidFacts& facts);

/// The same with the APIC id and the place of vCPU `index`.
[[nodiscard]] CpuidTable cpuid_of_vcpu(const CpuidTable& table, const CpuTopology& cpus, unsigned index);

/// Physical address bits of the guest's CPUs (leaf 0x80000008; 36 where it is missing).
[[nodiscard]] unsigned address_bits(const CpuidTable& table);

}  // namespace pcivm::vmm
