// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpu_set.hpp"

#include <utility>

#include "vmm/cpuid.hpp"

namespace pcivm::vmm {

Result<std::unique_ptr<CpuSet>> CpuSet::create(IoctlPort& port, const Kvm& kvm, const Vm& vm, unsigned count,
                                               Origin origin) {
  std::unique_ptr<CpuSet> set{new CpuSet};
  for (unsigned index = 0; index < count; ++index) set->cpus_.push_back(TRY(Vcpu::create(port, kvm, vm, index)));
  const auto tsc_khz = set->cpus_.front()->tsc_khz();
  const CpuidFacts facts{.cpus = count,
                         .tsc_khz = tsc_khz.value_or(0),
                         .tsc_deadline_timer = TRY(kvm.extension(KVM_CAP_TSC_DEADLINE_TIMER)) > 0};
  const auto table = cpuid_of_vm(TRY(kvm.supported_cpuid()), facts);
  for (unsigned index = 0; index < count; ++index) {
    TRY(set->cpus_[index]->set_cpuid(cpuid_of_vcpu(table, index)));
    if (origin == Origin::booted) TRY(set->cpus_[index]->set_firmware_msrs());
  }
  return set;
}

CpuSet::~CpuSet() { stop(); }

Result<void> CpuSet::start(const CpuState& boot, const Vcpu::Wiring& wiring, OnEnd on_end) {
  TRY(cpus_.front()->set_state(boot));
  for (const auto& cpu : cpus_) {
    threads_.emplace_back([&cpu = *cpu, wiring, on_end] { on_end(cpu.run(wiring)); });
  }
  return {};
}

void CpuSet::stop() {
  for (const auto& cpu : cpus_) cpu->stop();
  threads_.clear();
}

ExitCounts CpuSet::counts() const {
  ExitCounts sum;
  for (const auto& cpu : cpus_) sum += cpu->counts();
  return sum;
}

}  // namespace pcivm::vmm
