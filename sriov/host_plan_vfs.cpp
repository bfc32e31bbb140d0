// SPDX-License-Identifier: GPL-2.0-or-later
// What is wanted of each VF, and the steps for those that stay.
#include <algorithm>

#include <fmt/format.h>

#include "sriov/host_plan_draft.hpp"
#include "sriov/mac_template.hpp"

namespace pcivm::sriov {

namespace {

constexpr std::string_view kNoMac{"00:00:00:00:00:00"};

const Place& place_of(const Draft& draft, const VfWanted& wanted) {
  return wanted.entry != nullptr ? wanted.entry->place : draft.device.sriov->place;
}

// ---- what is wanted ----

std::string range_text(const VfEntry& entry) {
  return entry.first == entry.last ? fmt::format("VF {}", entry.first)
                                   : fmt::format("VFs {} to {}", entry.first, entry.last);
}

bool check_range(Draft& draft, const VfEntry& entry, const VfEntry* previous, unsigned count) {
  if (previous != nullptr && entry.first <= previous->last) {
    draft.refuse(entry.place, "overlap",
                 fmt::format("{} is said twice: here and at {}", range_text(entry), to_string(previous->place)),
                 "give every VF to one entry");
    return false;
  }
  if (entry.first > entry.last || entry.last >= count) {
    draft.refuse(entry.place, "vf-range",
                 fmt::format("{} of {}, which has {} VFs: their indexes end at {}", range_text(entry),
                             draft.device.name, count, static_cast<int>(count) - 1),
                 draft.device.externally_managed ? "who makes its VFs must make more, or the entry goes"
                                                 : "raise numVfs, or take the entry out");
    return false;
  }
  return true;
}

Result<std::optional<MacAddress>> mac_for(const VfEntry& entry, unsigned index) {
  if (!entry.mac) return std::nullopt;
  if (*entry.mac == kNoMac) return MacAddress{};
  if (entry.first != entry.last && entry.mac->find("%02x") == std::string::npos) {
    return fail(Errc::invalid, fmt::format("{} cannot all have the address {}", range_text(entry), *entry.mac));
  }
  return TRY(mac_of(*entry.mac, index));
}

bool take_entry(Draft& draft, const VfEntry& entry, unsigned index, VfWanted& into) {
  into.entry = &entry;
  into.wish = merged(into.wish, entry.wish);
  auto mac = mac_for(entry, index);
  if (!mac) {
    draft.refuse(entry.place, "invalid-mac", mac.error().text(), "write %02x in place of one octet");
    return false;
  }
  if (*mac) into.wish.mac = **mac;
  if (entry.bind) into.driver = driver_wish(*entry.bind);
  if (entry.bind) into.bind = *entry.bind;
  if (entry.former) into.driver = driver_wish(*entry.former);
  if (entry.former) into.bind = bind_text(*entry.former);
  return true;
}

void check_wish(Draft& draft, const VfWanted& wanted, unsigned index, const VfAttributes& now) {
  auto fits = check(wanted.wish);
  if (fits) fits = check(changes(now, wanted.wish));
  if (fits) return;
  draft.refuse(place_of(draft, wanted), "invalid-vf", fmt::format("VF {}: {}", index, fits.error().text()),
               "see docs/vf.md for what goes together");
}

// ---- keys ----

/// Enters the keys of one VF.
struct Keys {
  Draft& draft;
  std::string prefix;
  const Place& place;
  bool there;

  template <class Value, class Show>
  void one(std::string_view key, const std::optional<Value>& wanted, const std::optional<Value>& found, Show show) {
    if (!wanted) return;
    std::optional<std::string> told;
    if (!there) told = "no such VF";
    if (there && found) told = show(*found);
    draft.compare(prefix + std::string{key}, show(*wanted), std::move(told), place);
  }
};

template <class Value, class Field>
std::optional<Field> part(const std::optional<Value>& whole, Field Value::* field) {
  return whole ? std::optional{(*whole).*field} : std::nullopt;
}

void compare_attributes(Keys keys, const VfWish& wish, const VfAttributes& now) {
  const auto number = [](auto value) { return fmt::to_string(static_cast<std::uint32_t>(value)); };
  const auto text = [](const auto& value) { return value.to_string(); };
  const auto name = [](auto value) { return std::string{to_string(value)}; };
  keys.one("mac", wish.mac, now.mac, text);
  keys.one("vlan.id", wish.vlan, part(now.vlan, &Vlan::id), number);
  keys.one("vlan.qos", wish.qos, part(now.vlan, &Vlan::qos), number);
  keys.one("vlan.proto", wish.protocol, part(now.vlan, &Vlan::protocol), name);
  keys.one("rate.min", wish.min_tx_rate, part(now.rate, &Rate::min), number);
  keys.one("rate.max", wish.max_tx_rate, part(now.rate, &Rate::max), number);
  keys.one("spoofchk", wish.spoofchk, now.spoofchk, on_off);
  keys.one("linkState", wish.link_state, now.link_state, name);
  keys.one("trust", wish.trust, now.trust, on_off);
  keys.one("rssQuery", wish.rss_query, now.rss_query, on_off);
  keys.one("guid.node", wish.node_guid, now.node_guid, text);
  keys.one("guid.port", wish.port_guid, now.port_guid, text);
  // 0 is the device's own number, which nobody tells.
  const bool own = wish.msix_count == 0U;
  keys.one("msix", wish.msix_count, own ? std::nullopt : now.msix_count, number);
  keys.one("roce", wish.roce, now.roce, on_off);
  keys.one("migratable", wish.migratable, now.migratable, on_off);
  keys.one("rateParent", wish.rate_parent, now.rate_parent, [](const auto& node) { return shown(node); });
}

void compare_vf(Draft& draft, unsigned index, const VfWanted& wanted) {
  const auto& vfs = draft.function.pf->vfs;
  const bool there = index < vfs.size();
  const auto prefix = fmt::format("sriov.vfs[{}].", index);
  const auto& place = place_of(draft, wanted);
  compare_attributes({.draft = draft, .prefix = prefix, .place = place, .there = there}, wanted.wish,
                     there ? vfs[index].attributes : VfAttributes{});
  if (wanted.driver) {
    const auto found = !there                                        ? std::string{"no such VF"}
                       : is_at(vfs[index].driver, *wanted.driver) ? wanted.bind
                                                                     : bind_text(vfs[index].driver);
    draft.compare(prefix + "bind", wanted.bind, found, place);
  }
  if (wanted.entry == nullptr || !wanted.entry->name) return;
  draft.compare(prefix + "name", *wanted.entry->name, there ? shown(vfs[index].netdev) : "no such VF", place);
}

// ---- steps ----

bool reported(const VfAttributes& now, const VfChange& change) {
  struct Told {
    const VfAttributes& now;
    bool operator()(const MacAddress&) const { return now.mac.has_value(); }
    bool operator()(const Vlan&) const { return now.vlan.has_value(); }
    bool operator()(const Rate&) const { return now.rate.has_value(); }
    bool operator()(const SpoofCheck&) const { return now.spoofchk.has_value(); }
    bool operator()(const LinkState&) const { return now.link_state.has_value(); }
    bool operator()(const RssQuery&) const { return now.rss_query.has_value(); }
    bool operator()(const Trust&) const { return now.trust.has_value(); }
    bool operator()(const NodeGuid&) const { return now.node_guid.has_value(); }
    bool operator()(const PortGuid&) const { return now.port_guid.has_value(); }
    bool operator()(const Roce&) const { return now.roce.has_value(); }
    bool operator()(const Migratable&) const { return now.migratable.has_value(); }
    bool operator()(const RateParent&) const { return now.rate_parent.has_value(); }
    bool operator()(const MsixCount&) const { return now.msix_count.has_value(); }
  };
  return std::visit(Told{now}, change);
}

bool is_of_port(const VfChange& change) {
  return std::holds_alternative<Roce>(change) || std::holds_alternative<Migratable>(change) ||
         std::holds_alternative<RateParent>(change);
}

bool is_own_number(const VfChange& change) {
  const auto* msix = std::get_if<MsixCount>(&change);
  return msix != nullptr && msix->count == 0;
}

bool holds_msix(const std::vector<VfChange>& list) {
  return std::ranges::any_of(list, [](const auto& each) { return std::holds_alternative<MsixCount>(each); });
}

// igbvf and its like take the address, mlx5_core the GUIDs, when they are bound, and never again.
bool read_at_probe(const std::vector<VfChange>& list) {
  return std::ranges::any_of(list, [](const auto& each) {
    return std::holds_alternative<MacAddress>(each) || std::holds_alternative<NodeGuid>(each) ||
           std::holds_alternative<PortGuid>(each);
  });
}

/// One VF that stays.
struct VfPlan {
  Draft& draft;
  unsigned index;
  const VfState& vf;
  const VfWanted& wanted;
  bool ports_appear;
  std::vector<VfChange> list{};

  [[nodiscard]] std::string name() const {
    return fmt::format("VF {} of {} ({})", index, draft.name(), vf.address.to_string());
  }
  // What is not reported goes along with what is, but is no reason by itself: nobody could tell whether it is so.
  [[nodiscard]] std::vector<VfChange> due() const {
    auto all = changes(vf.attributes, wanted.wish);
    std::erase_if(all, is_own_number);
    const bool any = std::ranges::any_of(all, [&](const auto& each) {
      return reported(vf.attributes, each) || (ports_appear && is_of_port(each));
    });
    return any ? all : std::vector<VfChange>{};
  }
  void set_driver(const DriverWish& wish, const std::string& reason) const {
    const auto what = !wish.driver          ? fmt::format("give {} to its host driver", name())
                      : wish.driver->empty() ? fmt::format("take {} from {}", name(), vf.driver.driver)
                                             : fmt::format("bind {} to {}", name(), *wish.driver);
    auto& step = draft.add(
        Phase::vfs, SetDriver{.functions = {vf.address}, .driver = wish.driver, .lasting = wish.lasting}, what, reason);
    if (vf.driver.driver.empty() || given_away(vf.driver.driver)) return;
    step.risks.push_back(driver_risk(vf.netdev, vf.driver.driver));
    if (!vf.netdev.empty()) step.risks.push_back({"link-drops", fmt::format("interface {} goes down", vf.netdev)});
  }
  void set_attributes(const std::string& reason) const {
    std::string what;
    for (const auto& each : list) what += fmt::format("{}{}", what.empty() ? "" : ", ", to_string(each));
    auto wish = wanted.wish;
    if (wish.msix_count == 0U) wish.msix_count.reset();
    auto& step = draft.add(Phase::vfs, SetVf{.index = index, .changes = list, .wish = std::move(wish)},
                           fmt::format("set {} of {}", what, name()), reason);
    const bool mac = std::ranges::any_of(list, [](const auto& c) { return std::holds_alternative<MacAddress>(c); });
    if (mac && !vf.driver.driver.empty()) {
      step.risks.push_back({"link-drops", "who uses it goes on with the old address until its driver starts anew"});
    }
  }
  void steps(const std::string& reason) {
    const bool moves = wanted.driver && !is_at(vf.driver, *wanted.driver);
    const bool bound = !vf.driver.driver.empty();
    const bool rebinds = !moves && bound && !given_away(vf.driver.driver) && read_at_probe(list);
    const bool unbinds = bound && (rebinds || holds_msix(list));
    const bool ends_unbound = moves && wanted.driver->driver == "";
    if (unbinds || ends_unbound) set_driver({.driver = "", .lasting = false}, reason);
    if (!list.empty()) set_attributes(reason);
    if (moves && !ends_unbound) set_driver(*wanted.driver, reason);
    if (!moves && unbinds) set_driver(driver_wish(vf.driver), reason);
  }
};

// "host.yaml:12:7 wants vlan.id 100 and bind vfio-pci, VF 3 has 0 and host"
std::string vf_reason(const Draft& draft, const VfWanted& wanted, unsigned index) {
  const auto prefix = fmt::format("sriov.vfs[{}].", index);
  std::string wants;
  std::string has;
  for (const auto& key : draft.keys) {
    if (key.verdict != KeyStatus::Verdict::drift || !key.key.starts_with(prefix)) continue;
    if (key.key.ends_with(".name")) continue;
    wants += fmt::format("{}{} {}", wants.empty() ? "" : " and ", key.key.substr(prefix.size()), key.wanted);
    has += fmt::format("{}{}", has.empty() ? "" : " and ", *key.found);
  }
  return fmt::format("{} wants {}, VF {} has {}", where(place_of(draft, wanted)), wants, index, has);
}

bool gives_back_vectors(const VfState& vf, const VfWish& wish) {
  return wish.msix_count && vf.attributes.msix_count && *wish.msix_count < *vf.attributes.msix_count;
}

void drop_switchdev(VfWish& wish) {
  wish.roce.reset();
  wish.migratable.reset();
  wish.rate_parent.reset();
}

VfTarget target_of(const Draft& draft, const VfWanted& wanted, unsigned index, bool switchdev) {
  const auto& vfs = draft.function.pf->vfs;
  VfTarget target{.wish = wanted.wish};
  if (index < vfs.size()) {
    auto kept = as_wish(vfs[index].attributes);
    if (!switchdev) drop_switchdev(kept);
    target.wish = merged(std::move(kept), wanted.wish);
    target.driver = {.driver = vfs[index].driver.driver, .driver_override = vfs[index].driver.driver_override};
  }
  if (wanted.driver) {
    const auto& [driver, lasting, exact] = *wanted.driver;
    target.driver = {.driver = driver, .driver_override = lasting ? driver.value_or("") : ""};
  }
  return target;
}

}  // namespace

std::vector<VfWanted> wanted_vfs(Draft& draft, unsigned count) {
  const auto& wish = *draft.device.sriov;
  VfWanted for_all{.wish = wish.vf_defaults};
  if (wish.vf_bind) for_all.driver = driver_wish(*wish.vf_bind);
  if (wish.vf_bind) for_all.bind = *wish.vf_bind;
  std::vector<VfWanted> all(count, for_all);
  const VfEntry* previous{};
  for (const auto& entry : wish.vfs) {
    check_pool(draft, entry.pool, entry.place);
    const bool fits = check_range(draft, entry, previous, count);
    for (auto index = entry.first; fits && index <= entry.last; ++index) {
      if (!take_entry(draft, entry, index, all[index])) break;
    }
    previous = &entry;
  }
  const auto& vfs = draft.function.pf->vfs;
  for (unsigned index = 0; index < count; ++index) {
    check_wish(draft, all[index], index, index < vfs.size() ? vfs[index].attributes : VfAttributes{});
  }
  return all;
}

std::vector<VfTarget> targets_of(Draft& draft, const std::vector<VfWanted>& wanted, bool switchdev) {
  std::vector<VfTarget> targets;
  for (unsigned index = 0; index < wanted.size(); ++index) {
    targets.push_back(target_of(draft, wanted[index], index, switchdev));
  }
  return targets;
}

void compare_vfs(Draft& draft, const std::vector<VfWanted>& wanted) {
  for (unsigned index = 0; index < wanted.size(); ++index) compare_vf(draft, index, wanted[index]);
}

void plan_vfs(Draft& draft, const std::vector<VfWanted>& wanted, bool ports_appear) {
  const auto& vfs = draft.function.pf->vfs;
  // The pool of interrupt vectors may be used up: who gives some back goes first.
  for (const bool giving : {true, false}) {
    for (unsigned index = 0; index < std::min(vfs.size(), wanted.size()); ++index) {
      if (gives_back_vectors(vfs[index], wanted[index].wish) != giving) continue;
      VfPlan plan{.draft = draft,
                  .index = index,
                  .vf = vfs[index],
                  .wanted = wanted[index],
                  .ports_appear = ports_appear};
      plan.list = plan.due();
      const bool moves = plan.wanted.driver && !is_at(plan.vf.driver, *plan.wanted.driver);
      if (moves || !plan.list.empty()) plan.steps(vf_reason(draft, plan.wanted, index));
    }
  }
}

}  // namespace pcivm::sriov
