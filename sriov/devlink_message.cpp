// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/devlink_message.hpp"

#include <linux/devlink.h>
#include <linux/genetlink.h>

#include <algorithm>
#include <array>

#include "sriov/netlink_message.hpp"

namespace pcivm::sriov {

namespace {

// Newer than the headers of Debian 12 (include/uapi/linux/devlink.h of Linux 6.3).
constexpr int kFunctionCaps{DEVLINK_PORT_FN_ATTR_OPSTATE + 1};

// libnl sets NLA_F_NESTED, on which generic netlink insists, from 3.5 on.
void put_function(nl_msg* message, const DevlinkMessage& from) {
  if (!from.hw_addr && !from.caps) return;
  auto* function = nla_nest_start(message, DEVLINK_ATTR_PORT_FUNCTION);
  if (from.hw_addr) put(message, DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR, from.hw_addr->octets);
  if (from.caps) put(message, kFunctionCaps, nla_bitfield32{.value = from.caps->value, .selector = from.caps->named});
  nla_nest_end(message, function);
}

template <class Value>
void put_if(nl_msg* message, int type, const std::optional<Value>& value) {
  if (value) put(message, type, *value);
}

void put_text(nl_msg* message, int type, const std::optional<std::string>& text) {
  if (text) nla_put_string(message, type, text->c_str());
}

void put_rate(nl_msg* message, const DevlinkMessage& from) {
  put_if(message, DEVLINK_ATTR_RATE_TX_SHARE, from.tx_share);
  put_if(message, DEVLINK_ATTR_RATE_TX_MAX, from.tx_max);
  put_text(message, DEVLINK_ATTR_RATE_NODE_NAME, from.node);
  put_text(message, DEVLINK_ATTR_RATE_PARENT_NODE_NAME, from.parent);
}

using Attributes = std::array<nlattr*, DEVLINK_ATTR_MAX + 1>;

void read_function(nlattr* function, DevlinkMessage& into) {
  std::array<nlattr*, kFunctionCaps + 1> attributes{};
  if (function == nullptr || nla_parse_nested(attributes.data(), kFunctionCaps, function, nullptr) < 0) return;
  if (auto* address = attributes[DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR];
      address != nullptr && nla_len(address) == static_cast<int>(sizeof(MacAddress::octets))) {
    into.hw_addr.emplace();
    std::copy_n(static_cast<const std::uint8_t*>(nla_data(address)), std::size(into.hw_addr->octets),
                into.hw_addr->octets);
  }
  if (const auto caps = value_of<nla_bitfield32>(attributes[kFunctionCaps])) {
    into.caps = FunctionCaps{.value = caps->value, .named = caps->selector};
  }
}

void read_eswitch(const Attributes& from, DevlinkMessage& into) {
  const auto mode = value_of<std::uint16_t>(from[DEVLINK_ATTR_ESWITCH_MODE]);
  if (mode && *mode <= DEVLINK_ESWITCH_MODE_SWITCHDEV) into.mode = static_cast<EswitchMode>(*mode);
  const auto inlined = value_of<std::uint8_t>(from[DEVLINK_ATTR_ESWITCH_INLINE_MODE]);
  if (inlined && *inlined <= DEVLINK_ESWITCH_INLINE_MODE_TRANSPORT)
    into.inline_mode = static_cast<InlineMode>(*inlined);
  const auto encap = value_of<std::uint8_t>(from[DEVLINK_ATTR_ESWITCH_ENCAP_MODE]);
  if (encap) into.encap = *encap != DEVLINK_ESWITCH_ENCAP_MODE_NONE;
}

void read_rate(const Attributes& from, DevlinkMessage& into) {
  into.tx_share = value_of<std::uint64_t>(from[DEVLINK_ATTR_RATE_TX_SHARE]);
  into.tx_max = value_of<std::uint64_t>(from[DEVLINK_ATTR_RATE_TX_MAX]);
  const auto text = [](nlattr* attribute) { return attribute ? std::optional{text_of(attribute)} : std::nullopt; };
  into.node = text(from[DEVLINK_ATTR_RATE_NODE_NAME]);
  into.parent = text(from[DEVLINK_ATTR_RATE_PARENT_NODE_NAME]);
}

Result<DevlinkMessage> object_of(nlmsghdr* header) {
  Attributes attributes{};
  if (nlmsg_parse(header, sizeof(genlmsghdr), attributes.data(), DEVLINK_ATTR_MAX, nullptr) < 0) {
    return fail(Errc::invalid, "a devlink message is cut short");
  }
  genlmsghdr kind{};
  std::memcpy(&kind, nlmsg_data(header), sizeof kind);
  DevlinkMessage object{.command = kind.cmd};
  if (text_of(attributes[DEVLINK_ATTR_BUS_NAME]) == "pci") {
    if (const auto device = Bdf::parse(text_of(attributes[DEVLINK_ATTR_DEV_NAME]))) object.device = *device;
  }
  object.port = value_of<std::uint32_t>(attributes[DEVLINK_ATTR_PORT_INDEX]);
  object.flavour = value_of<std::uint16_t>(attributes[DEVLINK_ATTR_PORT_FLAVOUR]);
  object.pf_number = value_of<std::uint16_t>(attributes[DEVLINK_ATTR_PORT_PCI_PF_NUMBER]);
  object.vf_number = value_of<std::uint16_t>(attributes[DEVLINK_ATTR_PORT_PCI_VF_NUMBER]);
  read_eswitch(attributes, object);
  read_function(attributes[DEVLINK_ATTR_PORT_FUNCTION], object);
  read_rate(attributes, object);
  return object;
}

Message generic(std::uint16_t family, std::uint32_t sequence, std::uint8_t command, int flags) {
  return make_message(family, sequence, flags, genlmsghdr{.cmd = command, .version = 1, .reserved = 0});
}

}  // namespace

std::vector<std::byte> encode_family_request(std::uint32_t sequence) {
  const auto message = generic(GENL_ID_CTRL, sequence, CTRL_CMD_GETFAMILY, NLM_F_ACK);
  nla_put_string(message.get(), CTRL_ATTR_FAMILY_NAME, DEVLINK_GENL_NAME);
  return bytes_of(message);
}

Result<std::optional<std::uint16_t>> decode_family(std::span<const std::byte> datagram, std::uint32_t sequence) {
  std::optional<std::uint16_t> family;
  const auto read = [&family](nlmsghdr* header) -> Result<void> {
    if (header->nlmsg_type != GENL_ID_CTRL) return {};
    family = value_of<std::uint16_t>(nlmsg_find_attr(header, sizeof(genlmsghdr), CTRL_ATTR_FAMILY_ID));
    return {};
  };
  TRY(each_message(datagram, sequence, read));
  return family;
}

std::vector<std::byte> encode(const DevlinkMessage& from, std::uint16_t family, std::uint32_t sequence) {
  const auto message = generic(family, sequence, from.command, from.dump ? NLM_F_DUMP : NLM_F_ACK);
  if (from.device) {
    nla_put_string(message.get(), DEVLINK_ATTR_BUS_NAME, "pci");
    nla_put_string(message.get(), DEVLINK_ATTR_DEV_NAME, from.device->to_string().c_str());
  }
  put_if(message.get(), DEVLINK_ATTR_PORT_INDEX, from.port);
  put_if(message.get(), DEVLINK_ATTR_PORT_FLAVOUR, from.flavour);
  put_if(message.get(), DEVLINK_ATTR_PORT_PCI_PF_NUMBER, from.pf_number);
  put_if(message.get(), DEVLINK_ATTR_PORT_PCI_VF_NUMBER, from.vf_number);
  put_if(message.get(), DEVLINK_ATTR_ESWITCH_MODE, from.mode);
  put_if(message.get(), DEVLINK_ATTR_ESWITCH_INLINE_MODE, from.inline_mode);
  if (from.encap) put(message.get(), DEVLINK_ATTR_ESWITCH_ENCAP_MODE, static_cast<std::uint8_t>(*from.encap ? 1 : 0));
  put_function(message.get(), from);
  put_rate(message.get(), from);
  return bytes_of(message);
}

Result<DevlinkReply> decode_devlink(std::span<const std::byte> datagram, std::uint32_t sequence) {
  DevlinkReply reply;
  const auto read = [&reply](nlmsghdr* header) -> Result<void> {
    if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_type == NLMSG_DONE) {
      auto answer = TRY(acknowledgement_of(header));
      reply.complete = true;
      reply.error = answer.error;
      reply.message = std::move(answer.message);
      return {};
    }
    auto object = TRY(object_of(header));
    reply.objects.push_back(std::move(object));
    return {};
  };
  TRY(each_message(datagram, sequence, read));
  return reply;
}

std::string_view to_string(EswitchMode mode) { return mode == EswitchMode::switchdev ? "switchdev" : "legacy"; }

std::string_view to_string(InlineMode mode) {
  switch (mode) {
    case InlineMode::none: return "none";
    case InlineMode::link: return "link";
    case InlineMode::network: return "network";
    case InlineMode::transport: return "transport";
  }
  return "none";
}

}  // namespace pcivm::sriov
