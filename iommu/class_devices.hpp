// SPDX-License-Identifier: GPL-2.0-or-later
// Which network interfaces, disks and graphics nodes belong to which PCI function: read from where the links of
// /sys/class point, so that devices below virtio, SCSI, ATA and NVMe are found alike.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"

namespace pcivm::iommu {

enum class DeviceClass : std::uint8_t {
  net,
  block,
  drm,
  graphics,          ///< framebuffers, fb0
  nvme,              ///< controllers, whose nodes take admin commands
  nvme_generic,      ///< ng0n1
  sound,             ///< controlC0, pcmC0D0p
  infiniband,        ///< mlx5_0
  infiniband_verbs,  ///< uverbs0
  tty,               ///< serial ports
};

/// Names by function, sorted. Of block devices only whole ones; of an NVMe namespace with multipath the head, which is
/// what gets mounted. Of DRM devices the nodes, not the connectors. Empty when the class does not exist.
[[nodiscard]] std::map<Bdf, std::vector<std::string>> class_devices(const SysRoot& root, DeviceClass kind);

}  // namespace pcivm::iommu
