// SPDX-License-Identifier: GPL-2.0-or-later
// Which processes hold VFIO groups and devices, graphics nodes and disks open: from the links in /proc/*/fd.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// "pid 812 (qemu-system-x86)"; of a pcivm process with the name of its VM, "pid 812 (pcivm, VM web)", or the words up
/// to the first option, "pid 812 (pcivm device bind)". A process that has gone is "pid 812 (?)".
[[nodiscard]] std::string process_name(const SysRoot& root, const std::string& pid);

/// Open descriptors of all processes but this one, read once. Those of other users are seen by root only.
class ProcessUse final {
 public:
  [[nodiscard]] static ProcessUse read(const SysRoot& root);

  /// Holders of the function's VFIO group or character device. Empty while a native driver has it.
  [[nodiscard]] std::vector<InUse> vfio(const SysRoot& root, const Function& function) const;
  /// Holders of /dev/dri/`node`.
  [[nodiscard]] std::vector<InUse> drm(const std::string& node) const;
  /// Holders of the node `path` ("/dev/nvme0").
  [[nodiscard]] std::vector<InUse> node(const std::string& kind, const std::string& path) const;
  /// Holders of /dev/`disk` and its partitions, without udev's workers, which look at every disk for a moment.
  [[nodiscard]] std::vector<InUse> disk(const SysRoot& root, const std::string& disk) const;

 private:
  struct Holder {
    std::string pid;
    std::string command;  ///< /proc/PID/comm
    std::string name;     ///< process_name()
    std::string path;     ///< as the link in /proc/PID/fd says; of a VFIO device the directory in sysfs, if it is told
  };
  static constexpr std::string_view kUnnamedDevice = "anon_inode:[vfio-device]";

  void read_process(const SysRoot& root, const std::string& pid);
  [[nodiscard]] bool names_its_group(const std::string& pid) const;

  std::vector<Holder> holders_;
};

}  // namespace pcivm::iommu
