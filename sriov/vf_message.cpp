// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_message.hpp"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "sriov/netlink_message.hpp"

namespace pcivm::sriov {

namespace {

void put_vlan(nl_msg* message, unsigned vf, const Vlan& vlan) {
  if (vlan.protocol == VlanProtocol::dot1q) {
    // The older attribute means 802.1q and is understood by every driver.
    put(message, IFLA_VF_VLAN, ifla_vf_vlan{.vf = vf, .vlan = vlan.id, .qos = vlan.qos});
    return;
  }
  auto* list = nla_nest_start(message, IFLA_VF_VLAN_LIST);
  put(message, IFLA_VF_VLAN_INFO,
      ifla_vf_vlan_info{
          .vf = vf, .vlan = vlan.id, .qos = vlan.qos, .vlan_proto = htons(static_cast<std::uint16_t>(vlan.protocol))});
  nla_nest_end(message, list);
}

void put_guid(nl_msg* message, int type, unsigned vf, Guid guid) {
  ifla_vf_guid value{};  // with its padding
  value.vf = vf;
  value.guid = guid.value;
  put(message, type, value);
}

// False when netlink has no attribute for the change.
struct Putter {
  nl_msg* message;
  unsigned vf;
  bool operator()(const MacAddress& mac) const {
    ifla_vf_mac value{};
    value.vf = vf;
    std::ranges::copy(mac.octets, value.mac);
    put(message, IFLA_VF_MAC, value);
    return true;
  }
  bool operator()(const Vlan& vlan) const {
    put_vlan(message, vf, vlan);
    return true;
  }
  bool operator()(const Rate& rate) const {
    put(message, IFLA_VF_RATE, ifla_vf_rate{.vf = vf, .min_tx_rate = rate.min, .max_tx_rate = rate.max});
    return true;
  }
  bool operator()(const SpoofCheck& check) const {
    put(message, IFLA_VF_SPOOFCHK, ifla_vf_spoofchk{.vf = vf, .setting = check.on ? 1U : 0U});
    return true;
  }
  bool operator()(const LinkState& state) const {
    put(message, IFLA_VF_LINK_STATE, ifla_vf_link_state{.vf = vf, .link_state = static_cast<std::uint32_t>(state)});
    return true;
  }
  bool operator()(const RssQuery& query) const {
    put(message, IFLA_VF_RSS_QUERY_EN, ifla_vf_rss_query_en{.vf = vf, .setting = query.on ? 1U : 0U});
    return true;
  }
  bool operator()(const Trust& trust) const {
    put(message, IFLA_VF_TRUST, ifla_vf_trust{.vf = vf, .setting = trust.on ? 1U : 0U});
    return true;
  }
  bool operator()(const NodeGuid& node) const {
    put_guid(message, IFLA_VF_IB_NODE_GUID, vf, node.guid);
    return true;
  }
  bool operator()(const PortGuid& port) const {
    put_guid(message, IFLA_VF_IB_PORT_GUID, vf, port.guid);
    return true;
  }
  template <class Other>
  bool operator()(const Other& /*change*/) const {
    return false;
  }
};

Message link_message(int type, std::uint32_t sequence, int interface, int flags) {
  ifinfomsg header{};
  header.ifi_index = interface;
  return make_message(type, sequence, flags, header);
}

}  // namespace

std::vector<std::byte> encode_read(int interface, std::uint32_t sequence) {
  const auto message = link_message(RTM_GETLINK, sequence, interface, 0);
  put(message.get(), IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS});
  return bytes_of(message);
}

Result<std::vector<std::byte>> encode_set(int interface, std::span<const VfSetting> settings, std::uint32_t sequence) {
  std::vector<std::byte> all;
  for (std::size_t index = 0; index < settings.size(); ++index) {
    const auto& [vf, change] = settings[index];
    const int flags = index + 1 == settings.size() ? NLM_F_ACK : 0;
    const auto message = link_message(RTM_SETLINK, sequence++, interface, flags);
    auto* list = nla_nest_start(message.get(), IFLA_VFINFO_LIST);
    auto* info = nla_nest_start(message.get(), IFLA_VF_INFO);
    if (!std::visit(Putter{message.get(), vf}, change)) {
      return fail(Errc::internal, fmt::format("{} is no matter of netlink", to_string(change)));
    }
    nla_nest_end(message.get(), info);
    nla_nest_end(message.get(), list);
    std::ranges::move(bytes_of(message), std::back_inserter(all));
    all.resize(NLMSG_ALIGN(all.size()));
  }
  return all;
}

}  // namespace pcivm::sriov
