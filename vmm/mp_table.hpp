// SPDX-License-Identifier: GPL-2.0-or-later
// The tables of the MultiProcessor Specification 1.4: CPUs and interrupts for kernels that use no ACPI. One that does
// looks for them all the same, and where there are none Linux goes through the last 64 KiB of the first megabyte for
// long (arch/x86/kernel/mpparse.c, which maps them anew for each 16 bytes).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::vmm {

/// The configuration table (section 4.2). CPUs whose APIC id takes more than 8 bits are left out: it has no room.
[[nodiscard]] std::vector<std::byte> build_mp_table(std::span<const std::uint32_t> apic_ids);

/// The floating pointer at platform::kMpPointer and the table at platform::kMpTable. Errc::invalid: it needs more than
/// platform::kMpRoom.
[[nodiscard]] Result<void> write_mp_table(const GuestMemory& memory, std::span<const std::uint32_t> apic_ids);

}  // namespace pcivm::vmm
