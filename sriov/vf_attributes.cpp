// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_attributes.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

Vlan merged_vlan(const VfAttributes& now, const VfWish& wish) {
  Vlan vlan = now.vlan.value_or(Vlan{});
  vlan.id = wish.vlan.value_or(vlan.id);
  vlan.qos = wish.qos.value_or(vlan.qos);
  vlan.protocol = wish.protocol.value_or(vlan.protocol);
  // Untagged frames have no priority; the kernel refuses one (rtnetlink, ndo_set_vf_vlan of most drivers).
  if (vlan.id == 0 && !wish.qos) vlan.qos = 0;
  return vlan;
}

Rate merged_rate(const VfAttributes& now, const VfWish& wish) {
  Rate rate = now.rate.value_or(Rate{});
  rate.min = wish.min_tx_rate.value_or(rate.min);
  rate.max = wish.max_tx_rate.value_or(rate.max);
  return rate;
}

template <class Value, class Change>
void add_if_other(std::vector<VfChange>& list, const std::optional<Value>& now, const Value& wanted, Change change) {
  if (!now || *now != wanted) list.emplace_back(change);
}

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
  } else {
    return fail(Errc::invalid, fmt::format("unknown attribute '{}'", key));
  }
  return {};
}

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace

std::vector<VfChange> changes(const VfAttributes& now, const VfWish& wish) {
  std::vector<VfChange> list;
  if (wish.mac) add_if_other(list, now.mac, *wish.mac, *wish.mac);
  if (wish.vlan || wish.qos || wish.protocol) {
    const auto vlan = merged_vlan(now, wish);
    add_if_other(list, now.vlan, vlan, vlan);
  }
  if (wish.min_tx_rate || wish.max_tx_rate) {
    const auto rate = merged_rate(now, wish);
    add_if_other(list, now.rate, rate, rate);
  }
  if (wish.spoofchk) add_if_other(list, now.spoofchk, *wish.spoofchk, SpoofCheck{*wish.spoofchk});
  if (wish.link_state) add_if_other(list, now.link_state, *wish.link_state, *wish.link_state);
  if (wish.trust) add_if_other(list, now.trust, *wish.trust, Trust{*wish.trust});
  return list;
}

std::vector<VfChange> changes_back(const VfAttributes& now, const VfAttributes& former) {
  VfWish wish{.mac = former.mac, .spoofchk = former.spoofchk, .link_state = former.link_state, .trust = former.trust};
  if (former.vlan) {
    wish.vlan = former.vlan->id;
    wish.qos = former.vlan->qos;
    wish.protocol = former.vlan->protocol;
  }
  if (former.rate) {
    wish.min_tx_rate = former.rate->min;
    wish.max_tx_rate = former.rate->max;
  }
  return changes(now, wish);
}

bool shows(const VfAttributes& now, const VfChange& change) {
  const auto fits = [](const auto& reported, const auto& wanted) { return !reported || *reported == wanted; };
  return std::visit(Overloaded{
                        [&](const MacAddress& mac) { return fits(now.mac, mac); },
                        [&](const Vlan& vlan) { return fits(now.vlan, vlan); },
                        [&](const Rate& rate) { return fits(now.rate, rate); },
                        [&](const SpoofCheck& check) { return fits(now.spoofchk, check.on); },
                        [&](const LinkState& state) { return fits(now.link_state, state); },
                        [&](const Trust& trust) { return fits(now.trust, trust.on); },
                    },
                    change);
}

std::string to_string(const VfChange& change) {
  const auto on = [](bool value) { return value ? "on" : "off"; };
  return std::visit(
      Overloaded{
          [](const MacAddress& mac) { return fmt::format("mac {}", mac.to_string()); },
          [](const Vlan& vlan) {
            return fmt::format("vlan {}, qos {}, {}", vlan.id, vlan.qos, to_string(vlan.protocol));
          },
          [](const Rate& rate) { return fmt::format("min rate {}, max rate {} Mbit/s", rate.min, rate.max); },
          [&](const SpoofCheck& check) { return fmt::format("spoofchk {}", on(check.on)); },
          [](const LinkState& state) { return fmt::format("link state {}", to_string(state)); },
          [&](const Trust& trust) { return fmt::format("trust {}", on(trust.on)); },
      },
      change);
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
