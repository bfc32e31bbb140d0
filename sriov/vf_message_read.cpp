// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "sriov/netlink_message.hpp"
#include "sriov/vf_message.hpp"

namespace pcivm::sriov {

namespace {

// "The driver does not say" of the 32-bit settings (rtnl_fill_vfinfo() presets -1).
constexpr std::uint32_t kUnreported{0xffffffff};
// More than the kernel's virtfn numbers can count: a bound for what a garbled message may make us allocate.
constexpr std::uint32_t kMostVfs{0xffff};

constexpr int kHeader{sizeof(nlattr)};

struct Entry {
  std::uint32_t number{};  ///< as the driver counts
  VfAttributes attributes;
};

std::optional<bool> switch_of(std::uint32_t setting) {
  if (setting == kUnreported) return std::nullopt;
  return setting != 0;
}

template <class Value>
std::optional<bool> setting_of(nlattr* attribute) {
  const auto value = value_of<Value>(attribute);
  return value ? switch_of(value->setting) : std::nullopt;
}

std::optional<Guid> guid_of(nlattr* attribute) {
  const auto value = value_of<ifla_vf_guid>(attribute);
  return value ? std::optional{Guid{value->guid}} : std::nullopt;
}

std::optional<Vlan> vlan_of(std::span<nlattr* const> attributes) {
  if (auto* list = attributes[IFLA_VF_VLAN_LIST]; list != nullptr) {
    auto* first = nla_find(static_cast<nlattr*>(nla_data(list)), nla_len(list), IFLA_VF_VLAN_INFO);
    if (const auto info = value_of<ifla_vf_vlan_info>(first)) {
      return Vlan{.id = static_cast<std::uint16_t>(info->vlan),
                  .qos = static_cast<std::uint8_t>(info->qos),
                  // Untagged VFs are reported with protocol 0 by some drivers.
                  .protocol = ntohs(info->vlan_proto) == static_cast<std::uint16_t>(VlanProtocol::dot1ad)
                                  ? VlanProtocol::dot1ad
                                  : VlanProtocol::dot1q};
    }
  }
  const auto vlan = value_of<ifla_vf_vlan>(attributes[IFLA_VF_VLAN]);
  if (!vlan) return std::nullopt;
  return Vlan{.id = static_cast<std::uint16_t>(vlan->vlan), .qos = static_cast<std::uint8_t>(vlan->qos)};
}

VfAttributes attributes_of(std::span<nlattr* const> attributes, const ifla_vf_mac& mac) {
  VfAttributes vf;
  vf.mac.emplace();
  std::copy_n(mac.mac, std::size(vf.mac->octets), vf.mac->octets);
  vf.vlan = vlan_of(attributes);
  if (const auto rate = value_of<ifla_vf_rate>(attributes[IFLA_VF_RATE])) {
    vf.rate = Rate{.min = rate->min_tx_rate, .max = rate->max_tx_rate};
  }
  vf.spoofchk = setting_of<ifla_vf_spoofchk>(attributes[IFLA_VF_SPOOFCHK]);
  const auto link = value_of<ifla_vf_link_state>(attributes[IFLA_VF_LINK_STATE]);
  if (link && link->link_state <= IFLA_VF_LINK_STATE_DISABLE) {
    vf.link_state = static_cast<LinkState>(link->link_state);
  }
  vf.trust = setting_of<ifla_vf_trust>(attributes[IFLA_VF_TRUST]);
  vf.rss_query = setting_of<ifla_vf_rss_query_en>(attributes[IFLA_VF_RSS_QUERY_EN]);
  vf.node_guid = guid_of(attributes[IFLA_VF_IB_NODE_GUID]);
  vf.port_guid = guid_of(attributes[IFLA_VF_IB_PORT_GUID]);
  return vf;
}

// Nothing when the attribute is no VF's: each of them starts with its MAC.
std::optional<Entry> entry_of(nlattr* attribute) {
  std::array<nlattr*, IFLA_VF_MAX + 1> attributes{};
  if (nla_type(attribute) != IFLA_VF_INFO) return std::nullopt;
  if (nla_parse_nested(attributes.data(), IFLA_VF_MAX, attribute, nullptr) < 0) return std::nullopt;
  const auto mac = value_of<ifla_vf_mac>(attributes[IFLA_VF_MAC]);
  if (!mac) return std::nullopt;
  return Entry{.number = mac->vf, .attributes = attributes_of(attributes, *mac)};
}

// The kernel stores the list's length in 16 bits unchecked (nla_nest_end), so it says too little from 335 VFs on.
// Where the list ends is told by its entries; its length must agree with that modulo 2^16.
Result<std::vector<Entry>> entries_of(nlattr* list, int to_end, std::uint32_t most) {
  std::vector<Entry> entries;
  auto left = to_end - kHeader;
  const auto payload = left;
  auto* attribute = static_cast<nlattr*>(nla_data(list));
  while (entries.size() < most && nla_ok(attribute, left) != 0) {
    auto entry = entry_of(attribute);
    if (!entry) break;
    entries.push_back(std::move(*entry));
    attribute = nla_next(attribute, &left);
  }
  const auto length = static_cast<std::uint16_t>(payload - left + kHeader);
  if (length == list->nla_len) return entries;
  return fail(Errc::invalid, fmt::format("the list of VFs is garbled after {} of {}: its length is {}, wanted {}",
                                         entries.size(), most, list->nla_len, length));
}

// The kernel leaves out VFs of which the driver says nothing; then only the driver's own count tells which is which.
Result<std::vector<VfAttributes>> placed(std::vector<Entry> entries, std::uint32_t count) {
  std::vector<VfAttributes> vfs(count);
  std::optional<std::uint32_t> last;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto place = entries[i].number;
    if (entries.size() == count) place = static_cast<std::uint32_t>(i);
    if (place >= count || (last && place <= *last)) {
      return fail(Errc::kernel,
                  fmt::format("the driver reports {} of {} VFs, one of them as VF {}", entries.size(), count, place));
    }
    last = place;
    vfs[place] = std::move(entries[i].attributes);
  }
  return vfs;
}

// Reads by hand up to the VF list: nla_parse() would take what follows an overflowed list for attributes of the link.
Result<void> read_link(nlmsghdr* header, NetlinkReply& reply) {
  std::uint32_t count{};
  int left = nlmsg_attrlen(header, sizeof(ifinfomsg));
  if (left < 0) return fail(Errc::invalid, "a link message is cut short");
  auto* attribute = nlmsg_attrdata(header, sizeof(ifinfomsg));
  reply.link = true;
  for (; nla_ok(attribute, left) != 0; attribute = nla_next(attribute, &left)) {
    if (nla_type(attribute) == IFLA_NUM_VF) count = std::min(value_of<std::uint32_t>(attribute).value_or(0), kMostVfs);
    if (nla_type(attribute) != IFLA_VFINFO_LIST) continue;
    auto entries = TRY(entries_of(attribute, left, count));
    reply.vfs = TRY(placed(std::move(entries), count));
    return {};
  }
  if (left > 0) return fail(Errc::invalid, fmt::format("a link message is garbled {} bytes before its end", left));
  reply.vfs.resize(count);
  return {};
}

}  // namespace

Result<NetlinkReply> decode(std::span<const std::byte> datagram, std::uint32_t sequence) {
  NetlinkReply reply;
  const auto read = [&reply](nlmsghdr* header) -> Result<void> {
    if (header->nlmsg_type == RTM_NEWLINK) return read_link(header, reply);
    if (header->nlmsg_type != NLMSG_ERROR) return {};
    auto answer = TRY(acknowledgement_of(header));
    reply.acknowledged = true;
    reply.error = answer.error;
    reply.message = std::move(answer.message);
    return {};
  };
  TRY(each_message(datagram, sequence, read));
  return reply;
}

Result<std::vector<NetlinkAnswer>> decode_answers(std::span<const std::byte> datagram, std::uint32_t sequence,
                                                  std::size_t count) {
  std::vector<NetlinkAnswer> answers;
  const auto read = [&](nlmsghdr* header) -> Result<void> {
    if (header->nlmsg_type != NLMSG_ERROR) return {};
    auto answer = TRY(acknowledgement_of(header));
    answers.push_back(
        {.index = std::uint32_t{header->nlmsg_seq - sequence}, .error = answer.error, .message = answer.message});
    return {};
  };
  TRY(each_message(datagram, sequence, read, static_cast<std::uint32_t>(count)));
  return answers;
}

}  // namespace pcivm::sriov
