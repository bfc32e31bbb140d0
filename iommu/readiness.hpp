// SPDX-License-Identifier: GPL-2.0-or-later
// Is this host ready to give devices to VMs: one finding a question, with its cause and its fix. Reads only, everything
// through SysRoot, so that a captured host can be examined; what only root can see is `unknown`, never `ok`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ioctl.hpp"
#include "base/sysroot.hpp"
#include "iommu/assignable.hpp"

namespace pcivm::iommu {

enum class Level : std::uint8_t {
  ok,
  note,     ///< works; worth knowing
  unknown,  ///< could not be read, mostly for want of root
  warning,  ///< works, but slower or less safely than it could, or not for all devices
  problem,  ///< devices cannot be given away, or not safely
};

[[nodiscard]] std::string_view to_string(Level level);

/// What one check found. Several findings may carry one id, one for each object concerned.
struct Finding {
  std::string id{};  ///< stable, and the anchor of its section in docs/doctor.md: "interrupt-remapping"
  Level level{Level::ok};
  std::string found{};  ///< what is there
  std::string cause{};  ///< why that matters; empty when nothing is wrong
  std::string fix{};    ///< what to type or to set; empty when nothing can or need be done
  bool operator==(const Finding&) const = default;
};

/// Of the whole host, in the order of the tables of checks (IOMMU first). Never fails: what cannot be read is a
/// finding. `ioctls` asks drivers what no file tells, in a child with a deadline; nullptr = of a captured host.
[[nodiscard]] std::vector<Finding> check_host(const SysRoot& root, IoctlPort* ioctls);

/// Can this function be given to a VM, end to end: a finding for each question that `assignable` asks, by its code.
[[nodiscard]] std::vector<Finding> check_device(const FunctionDetail& function, const Assignable& answer);

/// Every id that check_host may use.
[[nodiscard]] std::vector<std::string_view> host_check_ids();

}  // namespace pcivm::iommu
