// SPDX-License-Identifier: GPL-2.0-or-later
// In switchdev mode a VF's address and abilities belong to the function behind its port of the eswitch, and its rates
// to a rate object of that port (Documentation/networking/devlink/devlink-port.rst): both by devlink. Not run on real
// hardware: no emulated NIC has it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "sriov/devlink_message.hpp"
#include "sriov/vf_port.hpp"
#include "sriov/vf_wish.hpp"

namespace pcivm::sriov {

/// Of one PF. The port outlives it.
class PortFunctions final {
 public:
  /// Nothing of a PF in legacy mode, or without devlink.
  [[nodiscard]] static std::optional<PortFunctions> of(VfPort& port, Bdf physical);

  /// What the ports tell takes the place of what rtnetlink told.
  void tell(std::vector<VfAttributes>& vfs) const;
  /// Is this the way to make `change`?
  [[nodiscard]] bool takes(unsigned vf, const VfChange& change) const;
  [[nodiscard]] Result<void> set(unsigned vf, const VfChange& change);
  /// Reads the ports and their rates again.
  [[nodiscard]] Result<void> refresh();

 private:
  struct Function {
    DevlinkMessage port;
    std::optional<DevlinkMessage> rate{};  ///< leaf object
  };
  PortFunctions(VfPort& port, Bdf physical) : port_{&port}, physical_{physical} {}

  VfPort* port_;
  Bdf physical_;
  std::map<unsigned, Function> functions_{};  // by VF index
};

}  // namespace pcivm::sriov
