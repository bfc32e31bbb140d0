// SPDX-License-Identifier: GPL-2.0-or-later
// What the PF driver enforces on a VF of a network adapter. Pure data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

/// A port or node of InfiniBand; the first octet as written is the highest.
struct Guid {
  std::uint64_t value{};
  /// Eight colon-separated octets, "0c:42:a1:03:00:01:02:03".
  [[nodiscard]] static Result<Guid> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  bool operator==(const Guid&) const = default;
};

/// As the driver reports them; not set = it does not, which is not the same as off.
struct VfAttributes {
  std::optional<MacAddress> mac{};  ///< all zero = none given by the host
  std::optional<Vlan> vlan{};
  std::optional<Rate> rate{};
  std::optional<bool> spoofchk{};
  std::optional<LinkState> link_state{};
  std::optional<bool> trust{};
  std::optional<bool> rss_query{};  ///< may the VF read the RSS table and key that it shares with others
  std::optional<Guid> node_guid{};
  std::optional<Guid> port_guid{};
  /// Interrupt vectors, of a PF that shares out a pool of them (sriov_vf_total_msix is not 0).
  std::optional<std::uint32_t> msix_count{};
  std::optional<bool> roce{};                ///< in switchdev mode
  std::optional<bool> migratable{};          ///< in switchdev mode
  std::optional<std::string> rate_parent{};  ///< in switchdev mode: the rate node above; empty = none
  bool operator==(const VfAttributes&) const = default;
};

/// "802.1q", "802.1ad"
[[nodiscard]] std::string_view to_string(VlanProtocol protocol);
/// "auto", "enable", "disable"
[[nodiscard]] std::string_view to_string(LinkState state);

/// For the journal: "mac=02:...;vlan=100,3,33024;..." and back; an empty text has no attributes.
[[nodiscard]] std::string serialize(const VfAttributes& attributes);
[[nodiscard]] Result<VfAttributes> parse_attributes(std::string_view text);

}  // namespace pcivm::sriov
