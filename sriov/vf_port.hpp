// SPDX-License-Identifier: GPL-2.0-or-later
// The way to a PF driver's VF attributes: one interface, so that transactions are tested without a network adapter.
#pragma once

#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "sriov/devlink_message.hpp"
#include "sriov/link_message.hpp"
#include "sriov/vf_wish.hpp"

namespace pcivm::sriov {

/// One change to one VF.
struct VfSetting {
  unsigned vf{};
  VfChange change;
};
/// One of several settings that was not made.
struct Refusal {
  std::size_t index{};  ///< in their list
  Error error;
};

class VfPort {
 public:
  VfPort() = default;
  VfPort(const VfPort&) = delete;
  VfPort& operator=(const VfPort&) = delete;
  virtual ~VfPort() = default;
  /// By VF index. `interface` is the PF's interface index.
  [[nodiscard]] virtual Result<std::vector<VfAttributes>> read(int interface) = 0;
  /// In this order, each a message of its own; one that is refused does not stop those behind it.
  [[nodiscard]] virtual Result<std::vector<Refusal>> set(int interface, std::span<const VfSetting> settings) = 0;
  /// One request to devlink, and the objects that answer it. Errc::kernel with EOPNOTSUPP where there is no devlink.
  [[nodiscard]] virtual Result<std::vector<DevlinkMessage>> devlink(const DevlinkMessage& /*request*/) {
    return fail_errno(EOPNOTSUPP, "devlink");
  }
  /// Of all interfaces that have any; Errc::kernel with EOPNOTSUPP where nobody can be asked.
  [[nodiscard]] virtual Result<std::vector<PermanentAddress>> permanent_addresses() {
    return fail_errno(EOPNOTSUPP, "permanent addresses");
  }
};

}  // namespace pcivm::sriov
