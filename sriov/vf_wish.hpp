// SPDX-License-Identifier: GPL-2.0-or-later
// What the operator wants of a VF, and how a wish becomes single changes. Pure data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sriov/vf_attributes.hpp"

namespace pcivm::sriov {

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
  std::optional<bool> rss_query{};
  std::optional<Guid> node_guid{};
  std::optional<Guid> port_guid{};
  std::optional<std::uint32_t> msix_count{};  ///< 0 = as many as the device gives by itself
  std::optional<bool> roce{};
  std::optional<bool> migratable{};
  std::optional<std::string> rate_parent{};  ///< empty = none
  bool operator==(const VfWish&) const = default;
};

struct SpoofCheck {
  bool on{};
  bool operator==(const SpoofCheck&) const = default;
};
struct Trust {
  bool on{};
  bool operator==(const Trust&) const = default;
};
struct RssQuery {
  bool on{};
  bool operator==(const RssQuery&) const = default;
};
struct NodeGuid {
  Guid guid{};
  bool operator==(const NodeGuid&) const = default;
};
struct PortGuid {
  Guid guid{};
  bool operator==(const PortGuid&) const = default;
};
struct Roce {
  bool on{};
  bool operator==(const Roce&) const = default;
};
struct Migratable {
  bool on{};
  bool operator==(const Migratable&) const = default;
};
struct RateParent {
  std::string node;
  bool operator==(const RateParent&) const = default;
};
struct MsixCount {
  std::uint32_t count{};
  bool operator==(const MsixCount&) const = default;
};
/// One message to the kernel: it applies the attributes of a netlink message one after the other, stops at the first
/// error and after a node GUID (rtnetlink.c, do_setvfinfo), so a message never carries two.
using VfChange = std::variant<MsixCount, MacAddress, Vlan, Rate, SpoofCheck, LinkState, RssQuery, Trust, NodeGuid,
                              PortGuid, Roce, Migratable, RateParent>;

/// Errc::invalid for what cannot be, whatever the driver: VLAN 4095, QoS without VLAN, a minimum above the maximum.
[[nodiscard]] Result<void> check(const VfWish& wish);
[[nodiscard]] Result<void> check(const std::vector<VfChange>& changes);
/// What must be sent to get from `now` to `wish`; empty when it is so already. VLAN, QoS and protocol travel together,
/// and so do both rates: those not wished are taken from `now`.
[[nodiscard]] std::vector<VfChange> changes(const VfAttributes& now, const VfWish& wish);
/// All that is reported, as a wish: what is not reported stays as it is.
[[nodiscard]] VfWish as_wish(const VfAttributes& attributes);
/// `wanted` where it says anything, otherwise `former`.
[[nodiscard]] VfWish merged(VfWish former, const VfWish& wanted);
/// What must be sent to get from `now` back to `former`.
[[nodiscard]] std::vector<VfChange> changes_back(const VfAttributes& now, const VfAttributes& former);
/// False when `now` reports something else than `change` asked for. What is not reported cannot be checked.
[[nodiscard]] bool shows(const VfAttributes& now, const VfChange& change);

/// "mac 02:11:22:33:44:55", "vlan 100, qos 3, 802.1q"
[[nodiscard]] std::string to_string(const VfChange& change);
}  // namespace pcivm::sriov
