// SPDX-License-Identifier: GPL-2.0-or-later
// What the PF driver enforces on a VF of a network adapter, and how a wish becomes single changes. Pure data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/parse.hpp"
#include "base/result.hpp"

namespace pcivm::sriov {

enum class VlanProtocol : std::uint16_t { dot1q = 0x8100, dot1ad = 0x88a8 };  ///< EtherType
enum class LinkState : std::uint8_t { automatic, enable, disable };           ///< values of IFLA_VF_LINK_STATE_*

/// id 0 = untagged.
struct Vlan {
  std::uint16_t id{};
  std::uint8_t qos{};
  VlanProtocol protocol{VlanProtocol::dot1q};
  bool operator==(const Vlan&) const = default;
};
/// Mbit/s, 0 = no limit.
struct Rate {
  std::uint32_t min{};
  std::uint32_t max{};
  bool operator==(const Rate&) const = default;
};

/// As the driver reports them; not set = it does not, which is not the same as off.
struct VfAttributes {
  std::optional<MacAddress> mac{};  ///< all zero = none given by the host
  std::optional<Vlan> vlan{};
  std::optional<Rate> rate{};
  std::optional<bool> spoofchk{};
  std::optional<LinkState> link_state{};
  std::optional<bool> trust{};
  bool operator==(const VfAttributes&) const = default;
};

/// What the operator wants; not set = as it is.
struct VfWish {
  std::optional<MacAddress> mac{};
  std::optional<std::uint16_t> vlan{};
  std::optional<std::uint8_t> qos{};
  std::optional<VlanProtocol> protocol{};
  std::optional<std::uint32_t> min_tx_rate{};
  std::optional<std::uint32_t> max_tx_rate{};
  std::optional<bool> spoofchk{};
  std::optional<LinkState> link_state{};
  std::optional<bool> trust{};
};

struct SpoofCheck {
  bool on{};
  bool operator==(const SpoofCheck&) const = default;
};
struct Trust {
  bool on{};
  bool operator==(const Trust&) const = default;
};
/// One netlink message: the kernel applies the attributes of a message one after the other and stops at the first
/// error, so a message never carries two.
using VfChange = std::variant<MacAddress, Vlan, Rate, SpoofCheck, LinkState, Trust>;

/// What must be sent to get from `now` to `wish`; empty when it is so already. VLAN, QoS and protocol travel together,
/// and so do both rates: those not wished are taken from `now`.
[[nodiscard]] std::vector<VfChange> changes(const VfAttributes& now, const VfWish& wish);
/// What must be sent to get from `now` back to `former`.
[[nodiscard]] std::vector<VfChange> changes_back(const VfAttributes& now, const VfAttributes& former);
/// False when `now` reports something else than `change` asked for. What is not reported cannot be checked.
[[nodiscard]] bool shows(const VfAttributes& now, const VfChange& change);

/// "mac 02:11:22:33:44:55", "vlan 100, qos 3, 802.1q"
[[nodiscard]] std::string to_string(const VfChange& change);
/// "802.1q", "802.1ad"
[[nodiscard]] std::string_view to_string(VlanProtocol protocol);
/// "auto", "enable", "disable"
[[nodiscard]] std::string_view to_string(LinkState state);

/// For the journal: "mac=02:...;vlan=100,3,33024;..." and back; an empty text has no attributes.
[[nodiscard]] std::string serialize(const VfAttributes& attributes);
[[nodiscard]] Result<VfAttributes> parse_attributes(std::string_view text);

}  // namespace pcivm::sriov
