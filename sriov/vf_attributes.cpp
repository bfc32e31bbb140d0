// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include <fmt/format.h>

#include "sriov/vf_attributes.hpp"

namespace pcivm::sriov {

namespace {

// Zero octets are "none given", which MacAddress::parse refuses as an address.
Result<MacAddress> parse_mac(std::string_view text) {
  if (text == "00:00:00:00:00:00") return MacAddress{};
  return MacAddress::parse(text);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

Result<Vlan> parse_vlan(std::string_view text) {
  const auto parts = split(text, ',');
  if (parts.size() != 3) return fail(Errc::invalid, fmt::format("'{}' is not id,qos,protocol", text));
  const auto id = TRY(parse_decimal<std::uint16_t>(parts[0]));
  const auto qos = TRY(parse_decimal<std::uint8_t>(parts[1]));
  const auto protocol = TRY(parse_decimal<std::uint16_t>(parts[2]));
  return Vlan{.id = id, .qos = qos, .protocol = static_cast<VlanProtocol>(protocol)};
}

Result<Rate> parse_rate(std::string_view text) {
  const auto parts = split(text, ',');
  if (parts.size() != 2) return fail(Errc::invalid, fmt::format("'{}' is not min,max", text));
  const auto min = TRY(parse_decimal<std::uint32_t>(parts[0]));
  const auto max = TRY(parse_decimal<std::uint32_t>(parts[1]));
  return Rate{.min = min, .max = max};
}

Result<void> parse_one(std::string_view key, std::string_view value, VfAttributes& into) {
  if (key == "mac") {
    into.mac = TRY(parse_mac(value));
  } else if (key == "vlan") {
    into.vlan = TRY(parse_vlan(value));
  } else if (key == "rate") {
    into.rate = TRY(parse_rate(value));
  } else if (key == "spoofchk") {
    into.spoofchk = value == "1";
  } else if (key == "link") {
    const auto state = TRY(parse_decimal<std::uint8_t>(value, 2));
    into.link_state = static_cast<LinkState>(state);
  } else if (key == "trust") {
    into.trust = value == "1";
  } else if (key == "rss") {
    into.rss_query = value == "1";
  } else if (key == "node") {
    into.node_guid = TRY(Guid::parse(value));
  } else if (key == "port") {
    into.port_guid = TRY(Guid::parse(value));
  } else if (key == "roce") {
    into.roce = value == "1";
  } else if (key == "migratable") {
    into.migratable = value == "1";
  } else if (key == "parent") {
    into.rate_parent = value;
  } else if (key == "msix") {
    into.msix_count = TRY(parse_decimal<std::uint32_t>(value));
  } else {
    return fail(Errc::invalid, fmt::format("unknown attribute '{}'", key));
  }
  return {};
}

}  // namespace

Result<Guid> Guid::parse(std::string_view text) {
  constexpr std::size_t kOctets{8};
  Guid guid;
  const auto parts = split(text, ':');
  const bool shaped = parts.size() == kOctets && text.size() == 3 * kOctets - 1;
  for (std::size_t i = 0; shaped && i < kOctets; ++i) {
    const auto octet = parse_hex<std::uint8_t>(parts[i]);
    if (!octet) break;
    guid.value = guid.value << 8 | *octet;
    if (i == kOctets - 1) return guid;
  }
  return fail(Errc::invalid, fmt::format("'{}' is no GUID: wanted 8 octets, as in 0c:42:a1:03:00:01:02:03", text));
}

std::string Guid::to_string() const {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : ":", value >> shift & 0xff);
  }
  return text;
}

std::string_view to_string(VlanProtocol protocol) { return protocol == VlanProtocol::dot1ad ? "802.1ad" : "802.1q"; }

std::string_view to_string(LinkState state) {
  switch (state) {
    case LinkState::automatic: return "auto";
    case LinkState::enable: return "enable";
    case LinkState::disable: return "disable";
  }
  return "auto";
}

std::string serialize(const VfAttributes& attributes) {
  std::string text;
  const auto add = [&](std::string_view key, const std::string& value) { text += fmt::format("{}={};", key, value); };
  if (attributes.mac) add("mac", attributes.mac->to_string());
  if (const auto& vlan = attributes.vlan) {
    add("vlan", fmt::format("{},{},{}", vlan->id, vlan->qos, static_cast<unsigned>(vlan->protocol)));
  }
  if (const auto& rate = attributes.rate) add("rate", fmt::format("{},{}", rate->min, rate->max));
  if (attributes.spoofchk) add("spoofchk", *attributes.spoofchk ? "1" : "0");
  if (attributes.link_state) add("link", fmt::to_string(static_cast<unsigned>(*attributes.link_state)));
  if (attributes.trust) add("trust", *attributes.trust ? "1" : "0");
  if (attributes.rss_query) add("rss", *attributes.rss_query ? "1" : "0");
  if (attributes.node_guid) add("node", attributes.node_guid->to_string());
  if (attributes.port_guid) add("port", attributes.port_guid->to_string());
  if (attributes.roce) add("roce", *attributes.roce ? "1" : "0");
  if (attributes.migratable) add("migratable", *attributes.migratable ? "1" : "0");
  if (attributes.rate_parent) add("parent", *attributes.rate_parent);
  if (attributes.msix_count) add("msix", fmt::to_string(*attributes.msix_count));
  return text;
}

Result<VfAttributes> parse_attributes(std::string_view text) {
  VfAttributes attributes;
  for (const auto part : split(text, ';')) {
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return fail(Errc::invalid, fmt::format("'{}' has no value", part));
    TRY(parse_one(part.substr(0, equals), part.substr(equals + 1), attributes));
  }
  return attributes;
}

}  // namespace pcivm::sriov
