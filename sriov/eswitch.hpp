// SPDX-License-Identifier: GPL-2.0-or-later
// The switch inside a PF: legacy (a MAC and VLAN table) or switchdev (each VF has a representor interface), by devlink
// (Documentation/networking/devlink/devlink-eswitch-attr.rst). Not run on real hardware: no emulated NIC has it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sriov/devlink_message.hpp"
#include "sriov/physical_function.hpp"
#include "sriov/vf_port.hpp"
#include "vfio/host_lock.hpp"

namespace pcivm::sriov {

/// As it is, or, as a wish, only what is set.
struct Eswitch {
  std::optional<EswitchMode> mode{};
  std::optional<InlineMode> inline_mode{};  ///< how much of a frame's headers the driver must copy
  std::optional<bool> encap{};              ///< offload of tunnels
  bool operator==(const Eswitch&) const = default;
};

/// When a driver lets its mode be changed.
enum class EswitchOrder : std::uint8_t {
  before_vfs,        ///< only while there are no VFs
  with_unbound_vfs,  ///< while VFs exist and none has a driver, so that each gets a representor
};
struct PfDriver {
  std::string_view name;
  EswitchOrder eswitch{EswitchOrder::before_vfs};
  bool makes_none_while_down{};  ///< accepts sriov_numvfs, and makes no VF, while its interface is down
};
/// What is known of drivers that are not like all others.
[[nodiscard]] PfDriver pf_driver(std::string_view name);

/// Errc::kernel when the PF has no eswitch that devlink knows of.
[[nodiscard]] Result<Eswitch> read_eswitch(VfPort& port, Bdf physical);
/// Sends what differs, one attribute a message, and reads back.
[[nodiscard]] Result<void> apply_eswitch(VfPort& port, Bdf physical, const Eswitch& wish);
/// Errc::busy when the order of the PF's driver does not allow a change of its mode now.
[[nodiscard]] Result<void> check_eswitch_order(const vfio::Host& host, const PhysicalFunction& pf);
/// Waits until every VF has its port in the switch.
[[nodiscard]] Result<void> await_representors(const vfio::Host& host, VfPort& port, Bdf physical, std::size_t count);

inline constexpr std::string_view kIntentEswitch{"vf-eswitch"};
/// A change as a transaction; true when anything was changed. Fails as check_eswitch_order() and as the kernel does,
/// then rolled back.
[[nodiscard]] Result<bool> change_eswitch(const vfio::Host& host, const vfio::HostLock& lock, VfPort& port,
                                          Bdf physical, const Eswitch& wish);
[[nodiscard]] Result<std::vector<std::string>> preview_eswitch(const vfio::Host& host, VfPort& port, Bdf physical,
                                                               const Eswitch& wish);

/// "mode switchdev, inline mode none, encap on"
[[nodiscard]] std::string to_string(const Eswitch& eswitch);
/// For the journal.
[[nodiscard]] std::string serialize(const Eswitch& eswitch);
[[nodiscard]] Eswitch parse_eswitch(std::string_view text);

}  // namespace pcivm::sriov
