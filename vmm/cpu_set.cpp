// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpu_set.hpp"

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.hpp"
#include "vmm/cpuid.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::vmm {

namespace {

// The CPU was there when the VM was checked; one that went offline since does not end the guest.
void pin_this_thread(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    log::warning("a virtual CPU cannot be pinned to CPU {}: {}", cpu, std::strerror(errno));
  }
}

}  // namespace

Result<std::unique_ptr<CpuSet>> CpuSet::create(IoctlPort& port, const Kvm& kvm, const Vm& vm, const CpuWish& wish,
                                               Origin origin) {
  std::unique_ptr<CpuSet> set{new CpuSet{wish.pins}};
  const auto& cpus = wish.topology;
  for (unsigned index = 0; index < cpus.count(); ++index) {
    set->cpus_.push_back(TRY(Vcpu::create(port, kvm, vm, cpus.apic_id(index))));
  }
  const auto tsc_khz = set->cpus_.front()->tsc_khz();
  const CpuidFacts facts{.cpus = cpus,
                         .tsc_khz = tsc_khz.value_or(0),
                         .tsc_deadline_timer = TRY(kvm.extension(KVM_CAP_TSC_DEADLINE_TIMER)) > 0};
  auto table = cpuid_of_vm(wish.supported, facts);
  for (const auto* feature : wish.without) remove_feature(table, *feature);
  for (unsigned index = 0; index < cpus.count(); ++index) {
    TRY(set->cpus_[index]->set_cpuid(cpuid_of_vcpu(table, cpus, index)));
    if (origin == Origin::booted) TRY(set->cpus_[index]->set_firmware_msrs());
  }
  return set;
}

CpuSet::~CpuSet() { stop(); }

Result<void> CpuSet::start(const CpuState& boot, const Vcpu::Wiring& wiring, OnEnd on_end) {
  TRY(cpus_.front()->set_state(boot));
  for (std::size_t index = 0; index < cpus_.size(); ++index) {
    threads_.emplace_back([this, index, wiring, on_end] {
      if (!pins_.empty()) pin_this_thread(pins_[index]);
      become(ThreadKind::vcpu);
      on_end(cpus_[index]->run(wiring));
    });
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
