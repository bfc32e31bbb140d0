// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_wish.hpp"

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

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace

Result<void> check(const VfWish& wish) {
  constexpr unsigned kHighestVlan{4094};
  constexpr unsigned kHighestQos{7};
  if (wish.vlan && *wish.vlan > kHighestVlan) {
    return fail(Errc::invalid, fmt::format("VLAN {} is not in 0..{}", *wish.vlan, kHighestVlan));
  }
  if (wish.qos && *wish.qos > kHighestQos) {
    return fail(Errc::invalid, fmt::format("QoS {} is not in 0..{}", *wish.qos, kHighestQos));
  }
  if (wish.rate_parent && wish.rate_parent->find_first_of(";=\n") != std::string::npos) {
    return fail(Errc::invalid, fmt::format("'{}' cannot be a rate node's name", *wish.rate_parent));
  }
  return {};
}

Result<void> check(const std::vector<VfChange>& list) {
  for (const auto& change : list) {
    if (const auto* vlan = std::get_if<Vlan>(&change); vlan != nullptr && vlan->id == 0 && vlan->qos != 0) {
      return fail(Error::make(Errc::invalid, fmt::format("QoS {} needs a VLAN", vlan->qos)).advise("give --vlan too"));
    }
    if (const auto* rate = std::get_if<Rate>(&change); rate != nullptr && rate->max != 0 && rate->min > rate->max) {
      return fail(Errc::invalid, fmt::format("minimum rate {} is above the maximum {}", rate->min, rate->max));
    }
  }
  return {};
}

std::vector<VfChange> changes(const VfAttributes& now, const VfWish& wish) {
  std::vector<VfChange> list;
  if (wish.msix_count) add_if_other(list, now.msix_count, *wish.msix_count, MsixCount{*wish.msix_count});
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
  if (wish.rss_query) add_if_other(list, now.rss_query, *wish.rss_query, RssQuery{*wish.rss_query});
  if (wish.trust) add_if_other(list, now.trust, *wish.trust, Trust{*wish.trust});
  if (wish.node_guid) add_if_other(list, now.node_guid, *wish.node_guid, NodeGuid{*wish.node_guid});
  if (wish.roce) add_if_other(list, now.roce, *wish.roce, Roce{*wish.roce});
  if (wish.migratable) add_if_other(list, now.migratable, *wish.migratable, Migratable{*wish.migratable});
  if (wish.rate_parent) add_if_other(list, now.rate_parent, *wish.rate_parent, RateParent{*wish.rate_parent});
  if (wish.port_guid) add_if_other(list, now.port_guid, *wish.port_guid, PortGuid{*wish.port_guid});
  return list;
}

std::vector<VfChange> changes_back(const VfAttributes& now, const VfAttributes& former) {
  return changes(now, as_wish(former));
}

VfWish as_wish(const VfAttributes& former) {
  VfWish wish{.mac = former.mac,
              .spoofchk = former.spoofchk,
              .link_state = former.link_state,
              .trust = former.trust,
              .rss_query = former.rss_query,
              .node_guid = former.node_guid,
              .port_guid = former.port_guid,
              .msix_count = former.msix_count,
              .roce = former.roce,
              .migratable = former.migratable,
              .rate_parent = former.rate_parent};
  if (former.vlan) {
    wish.vlan = former.vlan->id;
    wish.qos = former.vlan->qos;
    wish.protocol = former.vlan->protocol;
  }
  if (former.rate) {
    wish.min_tx_rate = former.rate->min;
    wish.max_tx_rate = former.rate->max;
  }
  return wish;
}

VfWish merged(VfWish former, const VfWish& wanted) {
  const auto take = [](auto& into, const auto& from) {
    if (from) into = from;
  };
  take(former.mac, wanted.mac);
  // Untagged frames have no priority.
  if (wanted.vlan == 0 && former.qos) former.qos = 0;
  take(former.vlan, wanted.vlan);
  take(former.qos, wanted.qos);
  take(former.protocol, wanted.protocol);
  take(former.min_tx_rate, wanted.min_tx_rate);
  take(former.max_tx_rate, wanted.max_tx_rate);
  take(former.spoofchk, wanted.spoofchk);
  take(former.link_state, wanted.link_state);
  take(former.trust, wanted.trust);
  take(former.rss_query, wanted.rss_query);
  take(former.node_guid, wanted.node_guid);
  take(former.port_guid, wanted.port_guid);
  take(former.msix_count, wanted.msix_count);
  take(former.roce, wanted.roce);
  take(former.migratable, wanted.migratable);
  take(former.rate_parent, wanted.rate_parent);
  return former;
}

bool shows(const VfAttributes& now, const VfChange& change) {
  const auto fits = [](const auto& reported, const auto& wanted) { return !reported || *reported == wanted; };
  return std::visit(Overloaded{
                        [&](const MacAddress& mac) { return fits(now.mac, mac); },
                        [&](const Vlan& vlan) { return fits(now.vlan, vlan); },
                        [&](const Rate& rate) { return fits(now.rate, rate); },
                        [&](const SpoofCheck& check) { return fits(now.spoofchk, check.on); },
                        [&](const LinkState& state) { return fits(now.link_state, state); },
                        [&](const RssQuery& query) { return fits(now.rss_query, query.on); },
                        [&](const Trust& trust) { return fits(now.trust, trust.on); },
                        [&](const NodeGuid& node) { return fits(now.node_guid, node.guid); },
                        [&](const PortGuid& port) { return fits(now.port_guid, port.guid); },
                        [&](const Roce& roce) { return fits(now.roce, roce.on); },
                        [&](const Migratable& move) { return fits(now.migratable, move.on); },
                        [&](const RateParent& parent) { return fits(now.rate_parent, parent.node); },
                        // 0 asks for the device's own number, whichever that is.
                        [&](const MsixCount& msix) { return msix.count == 0 || fits(now.msix_count, msix.count); },
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
          [&](const RssQuery& query) { return fmt::format("RSS query {}", on(query.on)); },
          [&](const Trust& trust) { return fmt::format("trust {}", on(trust.on)); },
          [](const NodeGuid& node) { return fmt::format("node GUID {}", node.guid.to_string()); },
          [](const PortGuid& port) { return fmt::format("port GUID {}", port.guid.to_string()); },
          [&](const Roce& roce) { return fmt::format("RoCE {}", on(roce.on)); },
          [&](const Migratable& move) { return fmt::format("migratable {}", on(move.on)); },
          [](const RateParent& parent) {
            return fmt::format("rate parent {}", parent.node.empty() ? "none" : parent.node);
          },
          [](const MsixCount& msix) { return fmt::format("{} interrupt vectors", msix.count); },
      },
      change);
}

}  // namespace pcivm::sriov
