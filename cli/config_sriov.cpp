// SPDX-License-Identifier: GPL-2.0-or-later
// What stands below `sriov` of a device.
#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest.hpp"
#include "cli/config_device.hpp"
#include "cli/config_value.hpp"
#include "sriov/mac_template.hpp"

namespace pcivm::cli {

namespace {

using sriov::EswitchMode;
using sriov::InlineMode;
using sriov::LinkState;
using sriov::VlanProtocol;

constexpr std::array<Choice<EswitchMode>, 2> kEswitchModes{
    {{"legacy", EswitchMode::legacy}, {"switchdev", EswitchMode::switchdev}}};
constexpr std::array<Choice<InlineMode>, 4> kInlineModes{{{"none", InlineMode::none},
                                                          {"link", InlineMode::link},
                                                          {"network", InlineMode::network},
                                                          {"transport", InlineMode::transport}}};
constexpr std::array<Choice<LinkState>, 3> kLinkStates{
    {{"auto", LinkState::automatic}, {"enable", LinkState::enable}, {"disable", LinkState::disable}}};
constexpr std::array<Choice<VlanProtocol>, 2> kProtocols{
    {{"802.1q", VlanProtocol::dot1q}, {"802.1ad", VlanProtocol::dot1ad}}};

constexpr std::uint16_t kHighestVlan{4094};
constexpr std::uint8_t kHighestQos{7};
constexpr std::uint32_t kMostMsix{2048};  // PCI Express Base 6.0, 7.7.2.2: Table Size
constexpr std::size_t kMostRanges{32};
constexpr unsigned kLeastMtu{68};  // RFC 791
constexpr unsigned kMostMtu{65'535};

template <class T>
auto number(T least, T most) {
  return [least, most](const ConfigNode& node) { return number_value<T>(node, least, most); };
}
template <class Value, class Choices>
auto choice(const Choices& choices) {
  return [&choices](const ConfigNode& node) { return choice_value<Value>(node, choices); };
}

void read_vlan(ConfigMap& map, sriov::VfWish& wish) {
  map.take("id", wish.vlan, number<std::uint16_t>(0, kHighestVlan));
  map.take("qos", wish.qos, number<std::uint8_t>(0, kHighestQos));
  map.take("proto", wish.protocol, choice<VlanProtocol>(kProtocols));
  map.finish();
}

void read_rate(ConfigMap& map, sriov::VfWish& wish) {
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  map.take("min", wish.min_tx_rate, number<std::uint32_t>(0, kMost));
  map.take("max", wish.max_tx_rate, number<std::uint32_t>(0, kMost));
  map.finish();
}

Result<std::string> rate_parent_value(const ConfigNode& node) {
  auto name = TRY(text_value(node));
  if (name.find_first_of(";=") != std::string::npos) {
    return fail(Errc::invalid, fmt::format("'{}' cannot be a rate node's name", name));
  }
  return name == "none" ? std::string{} : name;
}

/// All attributes that VFs can have in common.
void read_wish(ConfigMap& map, sriov::VfWish& wish) {
  map.take("trust", wish.trust, bool_value);
  map.take("spoofchk", wish.spoofchk, bool_value);
  map.take("linkState", wish.link_state, choice<LinkState>(kLinkStates));
  if (auto vlan = map.below("vlan")) read_vlan(*vlan, wish);
  if (auto rate = map.below("rate")) read_rate(*rate, wish);
  map.take("rssQuery", wish.rss_query, bool_value);
  map.take("msix", wish.msix_count, number<std::uint32_t>(0, kMostMsix));
  map.take("roce", wish.roce, bool_value);
  map.take("migratable", wish.migratable, bool_value);
  map.take("rateParent", wish.rate_parent, rate_parent_value);
}

/// "02:11:22:33:44:%02x" for every VF of the range.
Result<std::string> mac_pattern_value(const ConfigNode& node, IndexRange range) {
  auto pattern = TRY(word_value(node, "a MAC address, with %02x for the VF's index"));
  const auto [first, last] = range;
  if (first != last && pattern.find("%02x") == std::string::npos) {
    return fail(
        Error::make(Errc::invalid, fmt::format("VFs {} to {} cannot all have the address {}", first, last, pattern))
            .advise("write %02x in place of one octet, as in 02:11:22:33:44:%02x"));
  }
  for (unsigned index = first; index <= last; ++index) TRY(sriov::mac_of(pattern, index));
  return pattern;
}

void read_guid(ConfigMap& map, sriov::VfWish& wish) {
  map.take("node", wish.node_guid, guid_value);
  map.take("port", wish.port_guid, guid_value);
  map.finish();
}

/// What only one VF can have.
void check_alone(ConfigMap& map, const sriov::VfEntry& entry) {
  if (entry.first == entry.last) return;
  const auto range = fmt::format("VFs {} to {}", entry.first, entry.last);
  if (entry.wish.node_guid || entry.wish.port_guid) {
    map.sink().add(entry.place, fmt::format("{}: {} cannot all have one GUID", map.path_of("guid"), range),
                   "write one entry for each VF");
  }
  if (entry.name) {
    map.sink().add(entry.place, fmt::format("{}: {} cannot all be called {}", map.path_of("name"), range, *entry.name),
                   "write one entry for each VF");
  }
}

/// One entry of `vfs`: as many as its index has ranges.
void read_vf(ConfigMap& map, std::vector<sriov::VfEntry>& vfs) {
  std::vector<IndexRange> ranges;
  map.require("index", "the VFs that it is about, such as 0-3");
  map.take_list("index", ranges, range_value);
  if (ranges.size() > kMostRanges) {  // each becomes an entry with all that stands beside it
    map.sink().add(map.place(),
                   fmt::format("{}: {} ranges, wanted at most {}", map.path_of("index"), ranges.size(), kMostRanges));
    ranges.clear();
  }
  sriov::VfEntry entry{.place = map.place()};
  map.take("bind", entry.bind, bind_value);
  const auto* mac = map.find("mac");
  read_wish(map, entry.wish);
  if (auto guid = map.below("guid")) read_guid(*guid, entry.wish);
  map.take("name", entry.name, interface_value);
  map.take("pool", entry.pool, name_value);
  map.finish();
  for (const auto& range : ranges) {
    std::tie(entry.first, entry.last) = range;
    const auto pattern = mac == nullptr ? Result<std::string>{} : mac_pattern_value(*mac, range);
    if (pattern && mac != nullptr) entry.mac = *pattern;
    if (!pattern) map.refuse(*mac, "mac", pattern.error());
    check_alone(map, entry);
    vfs.push_back(entry);
  }
}

void read_vfs(ConfigMap& map, sriov::SriovEntry& entry) {
  const auto* list = map.find("vfs");
  if (list == nullptr) return;
  if (list->kind != ConfigNode::Kind::list) {
    map.problem(*list, "vfs", "wanted a list with a dash before each entry");
    return;
  }
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    ConfigMap vf{list->items[i], fmt::format("{}[{}]", map.path_of("vfs"), i), map.sink()};
    read_vf(vf, entry.vfs);
  }
  std::ranges::stable_sort(entry.vfs, {}, &sriov::VfEntry::first);
}

const std::vector<std::string>& known_settings() {
  static const auto known = [] {
    std::vector<std::string> keys;
    for (const auto& kind : sriov::builtin_adapters()) {
      for (const auto& setting : kind.settings) keys.emplace_back(setting.key);
    }
    std::ranges::sort(keys);
    keys.erase(std::ranges::unique(keys).begin(), keys.end());
    return keys;
  }();
  return known;
}

/// A word, or a list of words, which an adapter takes separated by commas.
Result<std::string> setting_value(const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::list) return text_value(node);
  std::vector<std::string> words;
  for (const auto& item : node.items) words.push_back(TRY(text_value(item)));
  if (words.empty()) return fail(Errc::invalid, "an empty list");
  return fmt::format("{}", fmt::join(words, ","));
}

void read_settings(ConfigMap& map, sriov::SriovEntry& entry) {
  const auto* node = map.find("settings");
  if (node == nullptr) return;
  ConfigMap settings{*node, map.path_of("settings"), map.sink()};
  for (const auto& key : known_settings()) {
    std::optional<std::string> value;
    settings.take(key, value, setting_value);
    if (value) entry.settings.emplace(key, *value);
  }
  settings.finish();
}

void read_eswitch(ConfigMap& map, sriov::Eswitch& eswitch) {
  map.take("mode", eswitch.mode, choice<EswitchMode>(kEswitchModes));
  map.take("inline", eswitch.inline_mode, choice<InlineMode>(kInlineModes));
  map.take("encap", eswitch.encap, bool_value);
  map.finish();
}

}  // namespace

sriov::SriovEntry read_sriov(ConfigMap& map) {
  sriov::SriovEntry entry;
  entry.place = map.place();
  map.take("numVfs", entry.num_vfs, number<unsigned>(0, kMostVfs));
  map.take("autoprobe", entry.autoprobe, bool_value);
  if (auto eswitch = map.below("eswitch")) read_eswitch(*eswitch, entry.eswitch);
  if (auto pf = map.below("pf")) {
    pf->take("mtu", entry.mtu, number<unsigned>(kLeastMtu, kMostMtu));
    pf->take("up", entry.up, bool_value);
    pf->finish();
  }
  if (auto defaults = map.below("vfDefaults")) {
    defaults->take("bind", entry.vf_bind, bind_value);
    read_wish(*defaults, entry.vf_defaults);
    defaults->finish();
  }
  read_vfs(map, entry);
  read_settings(map, entry);
  map.finish();
  return entry;
}

}  // namespace pcivm::cli
