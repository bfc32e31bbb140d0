// SPDX-License-Identifier: GPL-2.0-or-later
// Puts a Linux kernel, its initrd and what a boot loader tells it into guest memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/kernel_image.hpp"
#include "vmm/memory_layout.hpp"
#include "vmm/vcpu.hpp"

namespace pcivm::vmm {

/// Where things go; computed from sizes only, so that the privileged side can refuse before anything is created.
struct BootPlan {
  KernelImage image;
  std::uint64_t relocation{};  ///< bzimage: added to its preferred address (wraps: may be negative)
  Gpa initrd;
  std::uint64_t initrd_length{};  ///< 0 = none
};

/// Errc::invalid when kernel and initrd do not fit into the memory, or the command line is too long.
[[nodiscard]] Result<BootPlan> plan_boot(KernelImage image, std::uint64_t initrd_length, std::uint64_t cmdline_length,
                                         std::span<const GuestMemory::Range> ram);

struct BootFiles {
  FdRef kernel;
  FdRef initrd;  ///< not read when the plan has none
};
struct BootFacts {
  std::string cmdline;
  Gpa rsdp;
  std::span<const MapEntry> map;
};

/// Reads the files straight into guest memory and writes the zero page (bzImage) or the start info (PVH, version 1).
/// Returns how the boot CPU starts. Uses RAM below 640 KiB from kBootArea on.
[[nodiscard]] Result<CpuState> load_linux(const GuestMemory& memory, const BootPlan& plan, const BootFiles& files,
                                          const BootFacts& facts);

/// Low memory that the loader writes: GDT, start info, zero page, page tables, command line.
inline constexpr Gpa kBootArea{0x5000};
inline constexpr std::uint64_t kBootAreaLength = 0x2b000;

/// The descriptor table and, for long64, the identity page tables of the first 4 GiB, as CpuState names them. Part of
/// load_linux(); also for tiny payloads in tests.
[[nodiscard]] Result<void> write_cpu_tables(const GuestMemory& memory, CpuState& state);

}  // namespace pcivm::vmm
