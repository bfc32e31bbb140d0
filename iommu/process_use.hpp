// SPDX-License-Identifier: GPL-2.0-or-later
// Which processes hold VFIO groups and devices, graphics nodes and disks open: from the links in /proc/*/fd.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// Open descriptors of all processes but this one, read once. Those of other users are seen by root only.
class ProcessUse final {
 public:
  [[nodiscard]] static ProcessUse read(const SysRoot& root);

  /// Holders of the function's VFIO group or character device. Empty while a native driver has it.
  [[nodiscard]] std::vector<InUse> vfio(const SysRoot& root, const Function& function) const;
  /// Holders of /dev/dri/`node`.
  [[nodiscard]] std::vector<InUse> drm(const std::string& node) const;
  /// Holders of /dev/`disk` and its partitions, without udev's workers, which look at every disk for a moment.
  [[nodiscard]] std::vector<InUse> disk(const SysRoot& root, const std::string& disk) const;

 private:
  struct Holder {
    std::string pid;
    std::string command;
    std::string path;  ///< as the link in /proc/PID/fd says; of a VFIO device the directory in sysfs, if it is told
    [[nodiscard]] std::string name() const;
  };
  static constexpr std::string_view kUnnamedDevice = "anon_inode:[vfio-device]";

  void read_process(const SysRoot& root, const std::string& pid);
  [[nodiscard]] bool names_its_group(const std::string& pid) const;

  std::vector<Holder> holders_;
};

}  // namespace pcivm::iommu
