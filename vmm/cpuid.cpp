// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpuid.hpp"

#include <algorithm>
#include <bit>

namespace pcivm::vmm {

namespace {

// Leaf numbers and bits: Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; Documentation/virt/kvm/x86/cpuid.rst.
constexpr std::uint32_t kBasic = 0;
constexpr std::uint32_t kFeatures = 1;
constexpr std::uint32_t kCaches = 4;
constexpr std::uint32_t kTopology = 0xb;
constexpr std::uint32_t kTscCrystal = 0x15;
constexpr std::uint32_t kTopologyV2 = 0x1f;
constexpr std::uint32_t kHypervisor = 0x40000000;
constexpr std::uint32_t kHypervisorTiming = 0x40000010;
constexpr std::uint32_t kAmdFeatures = 0x80000001;
constexpr std::uint32_t kAmdSizes = 0x80000008;
constexpr std::uint32_t kAmdSvm = 0x8000000a;
constexpr std::uint32_t kAmdCaches = 0x8000001d;
constexpr std::uint32_t kAmdTopology = 0x8000001e;

constexpr std::uint32_t kVmxBit = 1U << 5U;              // leaf 1 ecx
constexpr std::uint32_t kTscDeadlineBit = 1U << 24U;     // leaf 1 ecx
constexpr std::uint32_t kHypervisorBit = 1U << 31U;      // leaf 1 ecx
constexpr std::uint32_t kHyperThreadingBit = 1U << 28U;  // leaf 1 edx: the count of leaf 1 ebx is valid
constexpr std::uint32_t kSvmBit = 1U << 2U;              // leaf 0x80000001 ecx
constexpr std::uint32_t kLegacyMultiCoreBit = 1U << 1U;  // leaf 0x80000001 ecx
constexpr std::uint32_t kApicBusKhz = 1'000'000;         // APIC_BUS_FREQUENCY of KVM's local APIC: 1 GHz

kvm_cpuid_entry2* find(CpuidTable& table, std::uint32_t leaf, std::uint32_t index = 0) {
  const auto at = std::ranges::find_if(
      table, [&](const kvm_cpuid_entry2& entry) { return entry.function == leaf && entry.index == index; });
  return at == table.end() ? nullptr : &*at;
}

void drop(CpuidTable& table, std::uint32_t leaf) {
  std::erase_if(table, [&](const kvm_cpuid_entry2& entry) { return entry.function == leaf; });
}

kvm_cpuid_entry2 make_entry(std::uint32_t leaf, std::uint32_t index, std::uint32_t flags) {
  kvm_cpuid_entry2 entry{};
  entry.function = leaf;
  entry.index = index;
  entry.flags = flags;
  return entry;
}

// Leaves 0xb and 0x1f: level 0 threads, level 1 cores, level 2 ends the list.
void set_topology(CpuidTable& table, std::uint32_t leaf, const CpuTopology& cpus) {
  if (find(table, leaf) == nullptr) return;
  drop(table, leaf);
  for (std::uint32_t level = 0; level < 3; ++level) {
    auto entry = make_entry(leaf, level, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
    if (level < 2) {
      entry.eax = level == 0 ? cpus.thread_bits() : cpus.socket_bits();
      entry.ebx = level == 0 ? cpus.threads : cpus.per_socket();
    }
    entry.ecx = level | (level < 2 ? (level + 1) << 8U : 0U);
    table.push_back(entry);
  }
}

// How many CPUs share a cache, and the cores of the package, are the host's in the leaves that KVM returns.
void set_cache_sharing(CpuidTable& table, const CpuTopology& cpus) {
  constexpr std::uint32_t kMostCores = 64;  // the field has six bits
  for (auto& entry : table) {
    if (entry.function != kCaches && entry.function != kAmdCaches) continue;
    if ((entry.eax & 0x1fU) == 0) continue;
    const auto level = entry.eax >> 5U & 7U;
    const std::uint32_t sharing = (level >= 3 ? cpus.per_socket() : cpus.threads) - 1;
    entry.eax = (entry.eax & 0x3fffU) | sharing << 14U;
    if (entry.function == kCaches) entry.eax |= (std::min(std::bit_ceil(cpus.cores), kMostCores) - 1U) << 26U;
  }
}

void set_features(CpuidTable& table, const CpuidFacts& facts) {
  if (auto* entry = find(table, kFeatures)) {
    entry->ecx &= ~(kVmxBit | kTscDeadlineBit);
    entry->ecx |= kHypervisorBit | (facts.tsc_deadline_timer ? kTscDeadlineBit : 0U);
    entry->ebx = (entry->ebx & 0xffffU) | facts.cpus.per_socket() << 16U;
    entry->edx = (entry->edx & ~kHyperThreadingBit) | (facts.cpus.per_socket() > 1 ? kHyperThreadingBit : 0U);
  }
  if (auto* entry = find(table, kAmdFeatures)) {
    entry->ecx &= ~(kSvmBit | kLegacyMultiCoreBit);
    if (facts.cpus.per_socket() > 1 && find(table, kAmdTopology) != nullptr) entry->ecx |= kLegacyMultiCoreBit;
  }
  if (auto* entry = find(table, kAmdSizes)) {
    entry->ecx = (facts.cpus.per_socket() - 1U) | facts.cpus.socket_bits() << 12U;
  }
  drop(table, kAmdSvm);
}

// Tells the frequency instead of letting the guest measure it. Leaf 0x15 only where the CPU's own maximum reaches it.
void set_frequencies(CpuidTable& table, std::uint32_t tsc_khz) {
  if (tsc_khz == 0) return;
  const auto* basic = find(table, kBasic);
  if (basic != nullptr && basic->eax >= kTscCrystal) {
    drop(table, kTscCrystal);
    auto entry = make_entry(kTscCrystal, 0, 0);
    entry.eax = kApicBusKhz;  // TSC = crystal * ebx / eax, exact when the "crystal" is KVM's 1 GHz APIC clock
    entry.ebx = tsc_khz;
    entry.ecx = kApicBusKhz * 1000U;
    table.push_back(entry);
  }
  if (auto* hypervisor = find(table, kHypervisor)) {
    hypervisor->eax = std::max(hypervisor->eax, kHypervisorTiming);
    drop(table, kHypervisorTiming);
    auto entry = make_entry(kHypervisorTiming, 0, 0);
    entry.eax = tsc_khz;
    entry.ebx = kApicBusKhz;
    table.push_back(entry);
  }
}

}  // namespace

CpuidTable cpuid_of_vm(const CpuidTable& supported, const CpuidFacts& facts) {
  auto table = supported;
  set_features(table, facts);
  set_cache_sharing(table, facts.cpus);
  set_topology(table, kTopology, facts.cpus);
  set_topology(table, kTopologyV2, facts.cpus);
  set_frequencies(table, facts.tsc_khz);
  return table;
}

unsigned address_bits(const CpuidTable& table) {
  const auto at = std::ranges::find(table, kAmdSizes, &kvm_cpuid_entry2::function);
  return at == table.end() ? 36U : at->eax & 0xffU;
}

CpuidTable cpuid_of_vcpu(const CpuidTable& table, const CpuTopology& cpus, unsigned index) {
  const auto id = cpus.apic_id(index);
  auto own = table;
  for (auto& entry : own) {
    if (entry.function == kFeatures) entry.ebx = (entry.ebx & 0x00ffffffU) | id << 24U;
    if (entry.function == kTopology || entry.function == kTopologyV2) entry.edx = id;
    if (entry.function == kAmdTopology) {
      entry.eax = id;
      entry.ebx = (cpus.threads - 1) << 8U | index / cpus.threads % cpus.cores;
      entry.ecx = index / cpus.per_socket();  // the node: one for each socket
    }
  }
  return own;
}

}  // namespace pcivm::vmm
