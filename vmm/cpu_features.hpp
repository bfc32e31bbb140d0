// SPDX-License-Identifier: GPL-2.0-or-later
// CPU features by the names that /proc/cpuinfo has, to take them from a guest.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/kvm.hpp"

namespace pcivm::vmm {

enum class CpuidRegister : std::uint8_t { eax, ebx, ecx, edx };

/// One bit of CPUID.
struct CpuFeature {
  std::string_view name;
  std::uint32_t leaf{};
  std::uint32_t index{};
  CpuidRegister where{};
  std::uint8_t bit{};
};

/// Sorted by name.
[[nodiscard]] std::span<const CpuFeature> cpu_features();
/// Null: no such name.
[[nodiscard]] const CpuFeature* find_cpu_feature(std::string_view name);
/// Clears its bit, and that of features which need it.
void remove_feature(CpuidTable& table, const CpuFeature& feature);

}  // namespace pcivm::vmm
