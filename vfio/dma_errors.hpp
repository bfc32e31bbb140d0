// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel's answers to both back ends mean, and what to do about them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"

namespace pcivm::vfio {

/// The kernel does not put these groups under the IOMMU: firmware keeps memory of a device, or interrupts are not
/// isolated. Others are returned as they are.
[[nodiscard]] Error explain_refusal(Error error, std::span<const OpenedGroup> groups);

/// The IOMMU cannot tell the functions of the group apart, and the host uses one: `users`, where it is known which.
[[nodiscard]] Error not_viable(std::uint32_t group, std::string_view users);

/// `allowed`: the IOMMU can map all of the run.
[[nodiscard]] Error explain_map(Error error, const DmaRun& run, IommuBackend backend, bool allowed);

}  // namespace pcivm::vfio
