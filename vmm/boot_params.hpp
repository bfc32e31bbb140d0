// SPDX-License-Identifier: GPL-2.0-or-later
// The two structures by which a loader tells Linux about the machine.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "vmm/boot_linux.hpp"

namespace pcivm::vmm {

inline constexpr std::uint64_t kCmdlineRoom = 0x10000;

/// struct boot_params (Documentation/arch/x86/zero-page.rst) with e820 table, and the command line. Returns its
/// address, which goes to rsi.
[[nodiscard]] Result<Gpa> write_zero_page(const GuestMemory& memory, const BootPlan& plan, const BootFacts& facts);

/// struct hvm_start_info version 1 with memory map and modules (xen/include/public/arch-x86/hvm/start_info.h). Returns
/// its address, which goes to ebx.
[[nodiscard]] Result<Gpa> write_start_info(const GuestMemory& memory, const BootPlan& plan, const BootFacts& facts);

}  // namespace pcivm::vmm
