// SPDX-License-Identifier: GPL-2.0-or-later
// What is wanted of each VF, and what of that the host has.
#include <algorithm>

#include <fmt/format.h>

#include "sriov/host_plan_draft.hpp"
#include "sriov/mac_template.hpp"

namespace pcivm::sriov {

namespace {

constexpr std::string_view kNoMac{"00:00:00:00:00:00"};

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
    const auto found = !there                                     ? std::string{"no such VF"}
                       : is_at(vfs[index].driver, *wanted.driver) ? wanted.bind
                                                                  : bind_text(vfs[index].driver);
    draft.compare(prefix + "bind", wanted.bind, found, place);
  }
  if (wanted.entry == nullptr || !wanted.entry->name) return;
  draft.compare(prefix + "name", *wanted.entry->name, there ? shown(vfs[index].netdev) : "no such VF", place);
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

const Place& place_of(const Draft& draft, const VfWanted& wanted) {
  return wanted.entry != nullptr ? wanted.entry->place : draft.device.sriov->place;
}

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

}  // namespace pcivm::sriov
