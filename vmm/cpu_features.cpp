// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpu_features.hpp"

#include <algorithm>
#include <array>

namespace pcivm::vmm {

namespace {

using enum CpuidRegister;

// Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; names: Linux, arch/x86/include/asm/cpufeatures.h.
constexpr std::array kFeatures{
    CpuFeature{"abm", 0x80000001, 0, ecx, 5},
    CpuFeature{"adx", 7, 0, ebx, 19},
    CpuFeature{"aes", 1, 0, ecx, 25},
    CpuFeature{"amx_bf16", 7, 0, edx, 22},
    CpuFeature{"amx_int8", 7, 0, edx, 25},
    CpuFeature{"amx_tile", 7, 0, edx, 24},
    CpuFeature{"avx", 1, 0, ecx, 28},
    CpuFeature{"avx2", 7, 0, ebx, 5},
    CpuFeature{"avx512_bf16", 7, 1, eax, 5},
    CpuFeature{"avx512_bitalg", 7, 0, ecx, 12},
    CpuFeature{"avx512_fp16", 7, 0, edx, 23},
    CpuFeature{"avx512_vbmi2", 7, 0, ecx, 6},
    CpuFeature{"avx512_vnni", 7, 0, ecx, 11},
    CpuFeature{"avx512_vp2intersect", 7, 0, edx, 8},
    CpuFeature{"avx512_vpopcntdq", 7, 0, ecx, 14},
    CpuFeature{"avx512bw", 7, 0, ebx, 30},
    CpuFeature{"avx512cd", 7, 0, ebx, 28},
    CpuFeature{"avx512dq", 7, 0, ebx, 17},
    CpuFeature{"avx512f", 7, 0, ebx, 16},
    CpuFeature{"avx512ifma", 7, 0, ebx, 21},
    CpuFeature{"avx512vbmi", 7, 0, ecx, 1},
    CpuFeature{"avx512vl", 7, 0, ebx, 31},
    CpuFeature{"avx_vnni", 7, 1, eax, 4},
    CpuFeature{"bmi1", 7, 0, ebx, 3},
    CpuFeature{"bmi2", 7, 0, ebx, 8},
    CpuFeature{"clflushopt", 7, 0, ebx, 23},
    CpuFeature{"clwb", 7, 0, ebx, 24},
    CpuFeature{"erms", 7, 0, ebx, 9},
    CpuFeature{"f16c", 1, 0, ecx, 29},
    CpuFeature{"fma", 1, 0, ecx, 12},
    CpuFeature{"fsgsbase", 7, 0, ebx, 0},
    CpuFeature{"fsrm", 7, 0, edx, 4},
    CpuFeature{"gfni", 7, 0, ecx, 8},
    CpuFeature{"hle", 7, 0, ebx, 4},
    CpuFeature{"invpcid", 7, 0, ebx, 10},
    CpuFeature{"la57", 7, 0, ecx, 16},
    CpuFeature{"movbe", 1, 0, ecx, 22},
    CpuFeature{"mwaitx", 0x80000001, 0, ecx, 29},
    CpuFeature{"pcid", 1, 0, ecx, 17},
    CpuFeature{"pclmulqdq", 1, 0, ecx, 1},
    CpuFeature{"pdpe1gb", 0x80000001, 0, edx, 26},
    CpuFeature{"perfctr_core", 0x80000001, 0, ecx, 23},
    CpuFeature{"pku", 7, 0, ecx, 3},
    CpuFeature{"popcnt", 1, 0, ecx, 23},
    CpuFeature{"rdpid", 7, 0, ecx, 22},
    CpuFeature{"rdrand", 1, 0, ecx, 30},
    CpuFeature{"rdseed", 7, 0, ebx, 18},
    CpuFeature{"rdtscp", 0x80000001, 0, edx, 27},
    CpuFeature{"rtm", 7, 0, ebx, 11},
    CpuFeature{"serialize", 7, 0, edx, 14},
    CpuFeature{"sha_ni", 7, 0, ebx, 29},
    CpuFeature{"smap", 7, 0, ebx, 20},
    CpuFeature{"smep", 7, 0, ebx, 7},
    CpuFeature{"sse4_1", 1, 0, ecx, 19},
    CpuFeature{"sse4_2", 1, 0, ecx, 20},
    CpuFeature{"sse4a", 0x80000001, 0, ecx, 6},
    CpuFeature{"ssse3", 1, 0, ecx, 9},
    CpuFeature{"tsc_deadline_timer", 1, 0, ecx, 24},
    CpuFeature{"umip", 7, 0, ecx, 2},
    CpuFeature{"user_shstk", 7, 0, ecx, 7},
    CpuFeature{"vaes", 7, 0, ecx, 9},
    CpuFeature{"vpclmulqdq", 7, 0, ecx, 10},
    CpuFeature{"waitpkg", 7, 0, ecx, 5},
    CpuFeature{"x2apic", 1, 0, ecx, 21},
    CpuFeature{"xsave", 1, 0, ecx, 26},
    CpuFeature{"xsaves", 0xd, 1, eax, 3},
};
static_assert(std::ranges::is_sorted(kFeatures, {}, &CpuFeature::name));

struct Need {
  std::string_view prefix;  ///< of the features that need `on`
  std::string_view on;
};
// A guest that finds one without the other may fault on what it believes to have (Intel SDM vol. 1, 14 and 15).
constexpr std::array kNeeds{
    Need{"avx", "xsave"},       Need{"f16c", "avx"},        Need{"fma", "avx"},         Need{"avx2", "avx"},
    Need{"avx5", "avx"},        Need{"avx_", "avx"},        Need{"vaes", "avx"},        Need{"vpclmulqdq", "avx"},
    Need{"avx512_", "avx512f"}, Need{"avx512b", "avx512f"}, Need{"avx512c", "avx512f"}, Need{"avx512d", "avx512f"},
    Need{"avx512i", "avx512f"}, Need{"avx512v", "avx512f"}, Need{"amx_", "xsave"},      Need{"amx_b", "amx_tile"},
    Need{"amx_i", "amx_tile"},  Need{"pku", "xsave"},       Need{"xsaves", "xsave"},
};

std::uint32_t& field(kvm_cpuid_entry2& entry, CpuidRegister where) {
  switch (where) {
    case eax: return entry.eax;
    case ebx: return entry.ebx;
    case ecx: return entry.ecx;
    case edx: break;
  }
  return entry.edx;
}

}  // namespace

std::span<const CpuFeature> cpu_features() { return kFeatures; }

const CpuFeature* find_cpu_feature(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kFeatures, name, {}, &CpuFeature::name);
  return found != kFeatures.end() && found->name == name ? found : nullptr;
}

void remove_feature(CpuidTable& table, const CpuFeature& feature) {
  for (auto& entry : table) {
    if (entry.function == feature.leaf && entry.index == feature.index) {
      field(entry, feature.where) &= ~(1U << feature.bit);
    }
  }
  for (const auto& need : kNeeds) {
    if (need.on != feature.name) continue;
    for (const auto& other : kFeatures) {
      if (other.name.starts_with(need.prefix) && other.name != feature.name) remove_feature(table, other);
    }
  }
}

}  // namespace pcivm::vmm
