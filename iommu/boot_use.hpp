// SPDX-License-Identifier: GPL-2.0-or-later
// Disks that the host needs though nothing of them may be mounted now: for its next boot, for hibernation, for a dump
// of its kernel.
#pragma once

#include <string>
#include <vector>

#include "base/sysroot.hpp"

namespace pcivm::iommu {

/// A need and the block device that it names, as a path ("/dev/sda1") or by its numbers ("259:2").
struct BootNeed {
  std::string kind{};  ///< "boot", "hibernate" or "kdump"
  std::string name{};  ///< "/boot/efi", "resume", "kdump"
  std::string device{};
};

/// /, /boot and the EFI system partition of /etc/fstab, also when not mounted; the partition of resume= and of
/// /sys/power/resume; the dump targets of /etc/kdump.conf. Files that are not there have none.
[[nodiscard]] std::vector<BootNeed> boot_needs(const SysRoot& root);

}  // namespace pcivm::iommu
