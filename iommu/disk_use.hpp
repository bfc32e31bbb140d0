// SPDX-License-Identifier: GPL-2.0-or-later
// What of the host's storage stands on which disk: mounts and swap, followed down through partitions, dm, md and loop
// devices by the "slaves" links of sysfs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// Users by name of the whole disk ("nvme0n1"), with chains like "/ -> dm-0 -> nvme0n1p2 -> nvme0n1". Only mounts of
/// this process' namespace. Fails when a live host's mount table cannot be read; a captured tree may lack it.
[[nodiscard]] Result<std::map<std::string, std::vector<InUse>>> disk_users(const SysRoot& root);

/// Devices stacked on `disk` or its partitions, mounted or not: "md0 -> sda1 -> sda".
[[nodiscard]] std::vector<InUse> disk_holders(const SysRoot& root, const std::string& disk);

/// Whether the kernel itself has claimed the disk (fs/block_dev, bd_prepare_to_claim): asked by an exclusive open for
/// an instant. Needs read permission; false where that is missing.
[[nodiscard]] bool disk_claimed(const SysRoot& root, const std::string& disk);

}  // namespace pcivm::iommu
