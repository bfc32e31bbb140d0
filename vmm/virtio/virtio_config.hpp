// SPDX-License-Identifier: GPL-2.0-or-later
// The virtio devices of a VM, as the privileged side prepared them: open descriptors and plain choices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vmm/bar_plan.hpp"
#include "vmm/virtio/disk_file.hpp"

namespace pcivm::vmm {

struct DiskConfig {
  DiskFile disk{};  ///< open for writing unless read_only
  bool read_only{};
  bool packed{};  ///< packed rings are offered
  unsigned queues{1};
  std::string serial{};  ///< up to 20 bytes
};

/// On the bus in the order of declaration.
struct VirtioConfig {
  std::vector<DiskConfig> disks;
  bool random{};

  [[nodiscard]] std::size_t count() const { return disks.size() + (random ? 1 : 0); }
};

/// What they ask of the address allocator, in bus order.
[[nodiscard]] std::vector<DeviceBars> virtio_bars(const VirtioConfig& config);

}  // namespace pcivm::vmm
