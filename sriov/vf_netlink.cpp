// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_netlink.hpp"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

using Message = std::unique_ptr<nl_msg, void (*)(nl_msg*)>;
// "The driver does not say" of the 32-bit settings (rtnl_fill_vfinfo() presets -1).
constexpr std::uint32_t kUnreported{0xffffffff};

Message make_message(int type, std::uint32_t sequence, int interface, int flags) {
  Message message{nlmsg_alloc(), nlmsg_free};
  nlmsg_put(message.get(), NL_AUTO_PORT, sequence, type, sizeof(ifinfomsg), NLM_F_REQUEST | flags);
  auto* header = static_cast<ifinfomsg*>(nlmsg_data(nlmsg_hdr(message.get())));
  *header = {};
  header->ifi_index = interface;
  return message;
}

template <class Value>
void put(nl_msg* message, int type, const Value& value) {
  nla_put(message, type, sizeof value, &value);
}

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

struct Putter {
  nl_msg* message;
  unsigned vf;
  void operator()(const MacAddress& mac) const {
    ifla_vf_mac value{};
    value.vf = vf;
    std::ranges::copy(mac.octets, value.mac);
    put(message, IFLA_VF_MAC, value);
  }
  void operator()(const Vlan& vlan) const { put_vlan(message, vf, vlan); }
  void operator()(const Rate& rate) const {
    put(message, IFLA_VF_RATE, ifla_vf_rate{.vf = vf, .min_tx_rate = rate.min, .max_tx_rate = rate.max});
  }
  void operator()(const SpoofCheck& check) const {
    put(message, IFLA_VF_SPOOFCHK, ifla_vf_spoofchk{.vf = vf, .setting = check.on ? 1U : 0U});
  }
  void operator()(const LinkState& state) const {
    put(message, IFLA_VF_LINK_STATE, ifla_vf_link_state{.vf = vf, .link_state = static_cast<std::uint32_t>(state)});
  }
  void operator()(const Trust& trust) const {
    put(message, IFLA_VF_TRUST, ifla_vf_trust{.vf = vf, .setting = trust.on ? 1U : 0U});
  }
};

std::vector<std::byte> bytes_of(const Message& message) {
  const auto* header = nlmsg_hdr(message.get());
  const auto* first = static_cast<const std::byte*>(static_cast<const void*>(header));
  return {first, first + header->nlmsg_len};
}

// ---- reading ----

/// An attribute of at least the size of Value, copied out: the kernel aligns to 4 bytes only.
template <class Value>
std::optional<Value> value_of(nlattr* attribute) {
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(Value))) return std::nullopt;
  Value value{};
  std::memcpy(&value, nla_data(attribute), sizeof value);
  return value;
}

std::optional<bool> switch_of(std::uint32_t setting) {
  if (setting == kUnreported) return std::nullopt;
  return setting != 0;
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

VfAttributes vf_of(std::span<nlattr* const> attributes) {
  VfAttributes vf;
  if (const auto mac = value_of<ifla_vf_mac>(attributes[IFLA_VF_MAC])) {
    vf.mac.emplace();
    std::copy_n(mac->mac, std::size(vf.mac->octets), vf.mac->octets);
  }
  vf.vlan = vlan_of(attributes);
  if (const auto rate = value_of<ifla_vf_rate>(attributes[IFLA_VF_RATE])) {
    vf.rate = Rate{.min = rate->min_tx_rate, .max = rate->max_tx_rate};
  }
  if (const auto check = value_of<ifla_vf_spoofchk>(attributes[IFLA_VF_SPOOFCHK])) {
    vf.spoofchk = switch_of(check->setting);
  }
  const auto link = value_of<ifla_vf_link_state>(attributes[IFLA_VF_LINK_STATE]);
  if (link && link->link_state <= IFLA_VF_LINK_STATE_DISABLE) {
    vf.link_state = static_cast<LinkState>(link->link_state);
  }
  if (const auto trust = value_of<ifla_vf_trust>(attributes[IFLA_VF_TRUST])) vf.trust = switch_of(trust->setting);
  return vf;
}

Result<std::vector<VfAttributes>> vfs_of(nlattr* list) {
  std::vector<VfAttributes> vfs;
  // As nla_for_each_nested, which is written with C casts.
  int left = nla_len(list);
  for (auto* entry = static_cast<nlattr*>(nla_data(list)); nla_ok(entry, left) != 0; entry = nla_next(entry, &left)) {
    if (nla_type(entry) != IFLA_VF_INFO) continue;
    std::array<nlattr*, IFLA_VF_MAX + 1> attributes{};
    if (nla_parse_nested(attributes.data(), IFLA_VF_MAX, entry, nullptr) < 0) {
      return fail(Errc::invalid, fmt::format("attributes of VF {} are cut short", vfs.size()));
    }
    vfs.push_back(vf_of(attributes));
  }
  return vfs;
}

Result<void> read_link(nlmsghdr* header, NetlinkReply& reply) {
  std::array<nlattr*, IFLA_MAX + 1> attributes{};
  if (nlmsg_parse(header, sizeof(ifinfomsg), attributes.data(), IFLA_MAX, nullptr) < 0) {
    return fail(Errc::invalid, "a link message is cut short");
  }
  reply.link = true;
  if (attributes[IFLA_VFINFO_LIST] != nullptr) reply.vfs = TRY(vfs_of(attributes[IFLA_VFINFO_LIST]));
  return {};
}

// The extended acknowledgement follows the request's header, which it repeats; with NETLINK_CAP_ACK not its body.
std::string extended_message(nlmsghdr* header, const nlmsgerr& error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::size_t skip = sizeof(nlmsgerr);
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) skip += NLMSG_ALIGN(error.msg.nlmsg_len) - sizeof(nlmsghdr);
  const auto length = static_cast<std::size_t>(nlmsg_datalen(header));
  if (skip >= length) return {};
  auto* first = static_cast<nlattr*>(static_cast<void*>(static_cast<std::byte*>(nlmsg_data(header)) + skip));
  auto* text = nla_find(first, static_cast<int>(length - skip), NLMSGERR_ATTR_MSG);
  if (text == nullptr || nla_len(text) < 1) return {};
  const auto* start = static_cast<const char*>(nla_data(text));
  return {start, strnlen(start, static_cast<std::size_t>(nla_len(text)))};
}

Result<void> read_error(nlmsghdr* header, NetlinkReply& reply) {
  if (nlmsg_datalen(header) < static_cast<int>(sizeof(nlmsgerr))) {
    return fail(Errc::invalid, "an acknowledgement is cut short");
  }
  nlmsgerr error{};
  std::memcpy(&error, nlmsg_data(header), sizeof error);
  reply.acknowledged = true;
  reply.error = error.error < 0 ? -error.error : 0;
  reply.message = extended_message(header, error);
  return {};
}

Error libnl_error(int code, std::string_view what) {
  return Error::make(Errc::kernel, fmt::format("{}: {}", what, nl_geterror(code)));
}

void set_option(nl_sock* socket, int option) {
  const int on = 1;
  // Kernels before 4.12 have no extended acknowledgements; errors are then told by errno alone.
  (void)::setsockopt(nl_socket_get_fd(socket), SOL_NETLINK, option, &on, sizeof on);
}

}  // namespace

std::vector<std::byte> encode_read(int interface, std::uint32_t sequence) {
  const auto message = make_message(RTM_GETLINK, sequence, interface, 0);
  put(message.get(), IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS});
  return bytes_of(message);
}

std::vector<std::byte> encode_set(int interface, unsigned vf, const VfChange& change, std::uint32_t sequence) {
  const auto message = make_message(RTM_SETLINK, sequence, interface, NLM_F_ACK);
  auto* list = nla_nest_start(message.get(), IFLA_VFINFO_LIST);
  auto* info = nla_nest_start(message.get(), IFLA_VF_INFO);
  std::visit(Putter{message.get(), vf}, change);
  nla_nest_end(message.get(), info);
  nla_nest_end(message.get(), list);
  return bytes_of(message);
}

Result<NetlinkReply> decode(std::span<const std::byte> datagram, std::uint32_t sequence) {
  // libnl's readers want a mutable buffer aligned as a message header.
  std::vector<std::uint32_t> copy((datagram.size() + 3) / 4);
  if (!datagram.empty()) std::memcpy(copy.data(), datagram.data(), datagram.size());
  NetlinkReply reply;
  auto left = static_cast<int>(datagram.size());
  auto* header = static_cast<nlmsghdr*>(static_cast<void*>(copy.data()));
  for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
    if (header->nlmsg_seq != sequence) continue;
    if (header->nlmsg_type == NLMSG_ERROR) TRY(read_error(header, reply));
    if (header->nlmsg_type == RTM_NEWLINK) TRY(read_link(header, reply));
  }
  if (left > 0) return fail(Errc::invalid, fmt::format("a netlink message is cut short with {} bytes left", left));
  return reply;
}

Result<std::unique_ptr<NetlinkVfPort>> NetlinkVfPort::open() {
  std::unique_ptr<NetlinkVfPort> port{new NetlinkVfPort{nl_socket_alloc()}};
  if (port->socket_ == nullptr) return fail_errno(ENOMEM, "netlink socket");
  if (const int code = nl_connect(port->socket_, NETLINK_ROUTE); code < 0) {
    return fail(libnl_error(code, "connect to rtnetlink"));
  }
  nl_socket_enable_msg_peek(port->socket_);  // the list of many VFs is larger than a page
  set_option(port->socket_, NETLINK_EXT_ACK);
  set_option(port->socket_, NETLINK_CAP_ACK);
  return port;
}

NetlinkVfPort::~NetlinkVfPort() {
  if (socket_ != nullptr) nl_socket_free(socket_);
}

Result<NetlinkReply> NetlinkVfPort::ask(std::span<const std::byte> request, bool wants_link) {
  std::vector<std::byte> copy{request.begin(), request.end()};
  if (const int code = nl_sendto(socket_, copy.data(), copy.size()); code < 0) {
    return fail(libnl_error(code, "send to rtnetlink"));
  }
  for (;;) {
    sockaddr_nl from{};
    unsigned char* raw{};
    const int length = nl_recv(socket_, &from, &raw, nullptr);
    const std::unique_ptr<unsigned char, void (*)(void*)> buffer{raw, std::free};
    if (length < 0) return fail(libnl_error(length, "receive from rtnetlink"));
    if (length == 0) return fail_errno(EIO, "receive from rtnetlink: nothing came");
    if (from.nl_pid != 0) continue;  // only the kernel is to be believed
    auto reply = TRY(decode(std::as_bytes(std::span{raw, static_cast<std::size_t>(length)}), sequence_));
    if (reply.acknowledged || (wants_link && reply.link)) return reply;
  }
}

Result<std::vector<VfAttributes>> NetlinkVfPort::read(int interface) {
  auto reply = TRY(ask(encode_read(interface, ++sequence_), true));
  if (reply.error != 0) return fail_errno(reply.error, fmt::format("read VFs of interface {}", interface));
  return std::move(reply.vfs);
}

Result<void> NetlinkVfPort::set(int interface, unsigned vf, const VfChange& change) {
  const auto reply = TRY(ask(encode_set(interface, vf, change, ++sequence_), false));
  if (reply.error == 0) return {};
  const auto what = fmt::format("set {} of VF {}", to_string(change), vf);
  auto error = Error::from_errno(reply.error, reply.message.empty() ? what : what + ": " + reply.message);
  if (reply.error == EOPNOTSUPP) error = std::move(error).advise("the PF's driver does not offer this attribute");
  // igb, ixgbe: a rate is a share of the link's speed.
  if (reply.error == EINVAL) error = std::move(error).advise("some drivers take this only while the PF's link is up");
  return fail(std::move(error));
}

}  // namespace pcivm::sriov
