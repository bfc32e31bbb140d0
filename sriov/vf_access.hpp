// SPDX-License-Identifier: GPL-2.0-or-later
// All ways to what a PF enforces on its VFs, as one: rtnetlink through the PF's interface, devlink, and sysfs.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "sriov/physical_function.hpp"
#include "sriov/port_function.hpp"
#include "sriov/vf_port.hpp"
#include "sriov/vf_wish.hpp"

namespace pcivm::sriov {

/// Of one PF, for the time of one command. The host and the port outlive it.
class VfAccess final {
 public:
  /// `port` may be null: on another root than the live host.
  VfAccess(const vfio::Host& host, VfPort* port, Bdf physical);

  /// By VF index, one entry a VF that is there. Where the network's attributes cannot be read nothing of them is
  /// reported, and missing() says why.
  [[nodiscard]] std::vector<VfAttributes> read();
  [[nodiscard]] const std::optional<Error>& missing() const { return missing_; }

  /// Errc::kernel when there is no way to what `wish` names: no interface here, no pool of interrupt vectors.
  [[nodiscard]] Result<void> check(const VfWish& wish) const;
  [[nodiscard]] Result<void> set(unsigned index, const VfChange& change);
  /// The same for many, with few calls of the kernel; a refusal does not stop those behind it.
  [[nodiscard]] Result<std::vector<Refusal>> set(std::span<const VfSetting> settings);
  /// Errc::kernel when `now` reports something else than was accepted.
  [[nodiscard]] Result<void> expect(const VfAttributes& now, unsigned index, const VfChange& change) const;

 private:
  Result<bool> set_otherwise(const VfSetting& setting);

  const vfio::Host* host_;
  VfPort* port_;
  Bdf physical_;
  Interface interface_{};
  std::optional<Error> missing_{};
  std::optional<PortFunctions> functions_{};  // in switchdev mode
};

/// Errc::not_found: the PF has `count` VFs, and none of that index.
[[nodiscard]] Error no_such_vf(Bdf physical, unsigned index, std::size_t count);

/// Does the wish name anything that goes through the PF's network interface?
[[nodiscard]] bool wants_network(const VfWish& wish);

/// Is the PF's interface up (IFF_UP)? Nothing when it has none here.
[[nodiscard]] std::optional<bool> interface_up(const SysRoot& root, Bdf physical);

}  // namespace pcivm::sriov
