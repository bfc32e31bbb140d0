// SPDX-License-Identifier: GPL-2.0-or-later
// The SMBIOS tables of the machine (DMTF DSP0134 3.2): what dmidecode, /sys/class/dmi and cloud agents read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "vmm/cpu_topology.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::vmm {

struct SmbiosConfig {
  std::string name{};  ///< of the VM: the system's serial number
  std::array<std::uint8_t, 16> uuid{};
  CpuTopology cpus{};
  std::string cpu_vendor{};  ///< "AuthenticAMD"
  std::string cpu_brand{};
  std::array<std::uint32_t, 2> cpu_id{};  ///< EAX and EDX of CPUID leaf 1
  std::vector<GuestMemory::Range> ram{};
};

/// What the tables repeat of CPUID, which is the host's in this.
void describe_cpu(SmbiosConfig& config);

struct SmbiosTables {
  std::vector<std::byte> structures;  ///< to lie at the address that was given
  std::array<std::byte, 24> entry;    ///< the 64-bit entry point, on a 16-byte boundary from 0xf0000 to 0xfffff
};

/// Pure.
[[nodiscard]] SmbiosTables build_smbios(const SmbiosConfig& config, Gpa structures);

/// Entry point and structures, from platform::kSmbios on. Errc::invalid when they need more than platform::kSmbiosRoom.
[[nodiscard]] Result<void> write_smbios(const GuestMemory& memory, const SmbiosConfig& config);

}  // namespace pcivm::vmm
