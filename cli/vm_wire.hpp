// SPDX-License-Identifier: GPL-2.0-or-later
// All that a VMM is given, as bytes and descriptors for its unit's process: of the same program, not always of the same
// version, which must be compared before (vm_vmm_unit.hpp).
#pragma once

#include "base/archive.hpp"
#include "base/result.hpp"
#include "cli/vm_vmm.hpp"

namespace pcivm::cli {

[[nodiscard]] Parcel pack(VmmParts parts);
/// Errc::invalid: they are no VM.
[[nodiscard]] Result<VmmParts> unpack(Parcel parcel);

}  // namespace pcivm::cli
