// SPDX-License-Identifier: GPL-2.0-or-later
// Which functions `device list` shows.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cli/device_facts.hpp"

namespace pcivm::cli {

/// All that is named must hold; of several drivers, classes or devices one.
struct DeviceFilter {
  std::vector<std::string> devices{};  ///< DEVICE selectors
  std::vector<std::string> drivers{};  ///< "none" = no driver
  std::vector<std::string> classes{};  ///< words as class_words(), or the first digits of a class code
  bool vfs{};
  bool pfs{};    ///< that have VFs
  bool sriov{};  ///< that can have VFs
  bool assignable{};
  bool in_use{};

  [[nodiscard]] bool empty() const;
  /// It asks for what a short list does not know: sriov, pfs, assignable.
  [[nodiscard]] bool needs_detail() const { return pfs || sriov || assignable; }
};

/// Words that --class takes: "net", "gpu", "nvme", ...
[[nodiscard]] std::span<const std::string_view> class_words();

/// A filter that can be asked: its selectors resolved, its words understood.
class DeviceChoice final {
 public:
  /// Errc::invalid for an unknown class; a selector fails as select_function.
  [[nodiscard]] static Result<DeviceChoice> make(const SysRoot& root, const DeviceFilter& filter);

  [[nodiscard]] bool takes(const iommu::Function& function) const;
  [[nodiscard]] bool takes(const DeviceFacts& facts) const;
  [[nodiscard]] bool takes(const iommu::Function& function, const std::vector<iommu::InUse>& users) const {
    return takes(function) && (!filter_.in_use || !users.empty());
  }

 private:
  explicit DeviceChoice(const DeviceFilter& filter) : filter_{filter} {}

  DeviceFilter filter_;
  std::vector<Bdf> addresses_{};
};

}  // namespace pcivm::cli
