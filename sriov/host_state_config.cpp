// SPDX-License-Identifier: GPL-2.0-or-later
// From what a host is to a configuration that describes it.
#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "iommu/group.hpp"
#include "sriov/host_state.hpp"

namespace pcivm::sriov {

namespace {

constexpr unsigned kUsualMtu{1500};

bool is_hosts(const vfio::DriverState& state) {
  return state.driver_override.empty() && !iommu::leaves_dma_to_user(state.driver);
}

// "pci-0000-01-00-0"
std::string name_of(const FunctionState& function) {
  auto name = "pci-" + function.address.to_string();
  std::ranges::replace_if(name, [](char c) { return c == ':' || c == '.'; }, '-');
  return name;
}

// ---- whom it names ----

void name_exactly(const FunctionState& function, DeviceEntry& device) {
  device.match.address = function.address;
  device.expect.id = function.id;
  device.expect.subsystem = function.subsystem;
}

template <class Fits>
bool only_one(const HostState& state, Fits fits) {
  return std::ranges::count_if(state.functions, fits) == 1;
}

bool has_serial(const FunctionState& function, const std::string& serial) {
  return std::ranges::find(function.serials, serial) != function.serials.end();
}

bool name_by_serial(const HostState& state, const FunctionState& function, DeviceMatch& match) {
  for (const auto& serial : function.serials) {
    const auto shares = [&](const auto& each) { return has_serial(each, serial); };
    const auto same = [&](const auto& each) {
      return shares(each) && each.address.function == function.address.function;
    };
    if (!only_one(state, same)) continue;
    match.serial = serial;
    if (!only_one(state, shares)) match.function = function.address.function;
    return true;
  }
  return false;
}

// By what stays with the card and is told whatever driver has it; its place is the last resort.
void name_best(const HostState& state, const FunctionState& function, DeviceEntry& device) {
  const auto& mac = function.permanent_mac;
  if (name_by_serial(state, function, device.match)) return;
  if (!function.nvme_serial.empty() &&
      only_one(state, [&](const auto& each) { return each.nvme_serial == function.nvme_serial; })) {
    device.match.nvme_serial = function.nvme_serial;
  } else if (mac && only_one(state, [&](const auto& each) { return each.permanent_mac == mac; })) {
    device.match.permanent_mac = mac;
  } else {
    name_exactly(function, device);
  }
}

// ---- the function itself ----

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream{text};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  // Resets that are switched off are an empty word, because no word at all is unmanaged.
  if (words.empty()) words.emplace_back();
  return words;
}

std::optional<std::string> setting(const FunctionState& function, const std::string& file) {
  const auto found = function.settings.find(file);
  return found == function.settings.end() ? std::nullopt : std::optional{found->second};
}

PassthroughEntry exact_passthrough(const FunctionState& function) {
  PassthroughEntry entry{.bind = function.driver.driver};
  entry.former = FormerDriver{.state = function.driver};
  if (function.bound_by_pcivm) entry.former->native = function.native_driver;
  if (const auto methods = setting(function, "reset_method")) entry.reset_methods = words_of(*methods);
  if (const auto allowed = setting(function, "d3cold_allowed")) entry.d3cold = *allowed == "1";
  entry.power = setting(function, "power/control");
  return entry;
}

// Defaults of the kernel stay unmanaged.
PassthroughEntry shown_passthrough(const FunctionState& function) {
  PassthroughEntry entry{.bind = function.driver.driver.empty() ? "none" : function.driver.driver};
  if (setting(function, "d3cold_allowed") == "0") entry.d3cold = false;
  if (setting(function, "power/control") == "on") entry.power = "on";
  return entry;
}

// ---- its VFs ----

VfEntry exact_vf(const VfState& vf, unsigned index) {
  VfEntry entry{.first = index, .last = index, .wish = as_wish(vf.attributes), .former = vf.driver};
  if (entry.wish.mac) entry.mac = entry.wish.mac->to_string();
  entry.wish.mac.reset();
  return entry;
}

template <class Value>
void forget_if(std::optional<Value>& value, const Value& usual) {
  if (value == usual) value.reset();
}

VfWish without_defaults(VfWish wish) {
  forget_if(wish.mac, MacAddress{});
  if (wish.vlan == 0 && wish.qos.value_or(0) == 0) {
    wish.vlan.reset();
    wish.qos.reset();
    wish.protocol.reset();
  }
  if (wish.min_tx_rate == 0U && wish.max_tx_rate == 0U) {
    wish.min_tx_rate.reset();
    wish.max_tx_rate.reset();
  }
  forget_if(wish.link_state, LinkState::automatic);
  forget_if(wish.trust, false);
  forget_if(wish.rss_query, false);
  forget_if(wish.node_guid, Guid{});
  forget_if(wish.port_guid, Guid{});
  forget_if(wish.migratable, false);
  forget_if(wish.rate_parent, std::string{});
  return wish;
}

std::string shown_bind(const vfio::DriverState& state) {
  if (state.driver.empty()) return "none";
  return is_hosts(state) ? "host" : state.driver;
}

VfEntry shown_vf(const VfState& vf, unsigned index) {
  VfEntry entry{.first = index, .last = index, .bind = shown_bind(vf.driver)};
  entry.wish = without_defaults(as_wish(vf.attributes));
  if (entry.wish.mac) entry.mac = entry.wish.mac->to_string();
  entry.wish.mac.reset();
  return entry;
}

// "02:11:22:33:44:%02x" when the last octet is the index.
std::optional<std::string> pattern_of(const VfEntry& entry) {
  if (!entry.mac) return std::nullopt;
  const auto last = entry.mac->rfind(':') + 1;
  if (entry.mac->substr(last) != fmt::format("{:02x}", entry.first)) return std::nullopt;
  return entry.mac->substr(0, last) + "%02x";
}

bool goes_on(const VfEntry& range, const VfEntry& next) {
  return range.last + 1 == next.first && range.bind == next.bind && range.wish == next.wish &&
         (range.mac == next.mac ? !range.mac : range.mac && range.mac == pattern_of(next));
}

// VFs alike are one entry.
std::vector<VfEntry> joined(const std::vector<VfEntry>& single) {
  std::vector<VfEntry> ranges;
  for (const auto& next : single) {
    if (!ranges.empty()) {
      auto& range = ranges.back();
      auto begun = range;
      if (range.first == range.last) begun.mac = pattern_of(range);
      if (range.mac && !begun.mac) begun.mac = range.mac;
      if (goes_on(begun, next)) {
        range = begun;
        range.last = next.last;
        continue;
      }
    }
    ranges.push_back(next);
  }
  return ranges;
}

SriovEntry exact_sriov(const PfState& pf) {
  SriovEntry entry{.num_vfs = static_cast<unsigned>(pf.vfs.size()),
                   .autoprobe = pf.autoprobe,
                   .eswitch = pf.eswitch,
                   .mtu = pf.mtu,
                   .up = pf.up,
                   .settings = pf.settings};
  entry.without_settings = pf.settings.empty();
  for (unsigned index = 0; index < pf.vfs.size(); ++index) entry.vfs.push_back(exact_vf(pf.vfs[index], index));
  return entry;
}

SriovEntry shown_sriov(const PfState& pf) {
  SriovEntry entry{.num_vfs = static_cast<unsigned>(pf.vfs.size()), .settings = pf.settings};
  if (!pf.autoprobe) entry.autoprobe = false;
  if (pf.eswitch.mode.value_or(EswitchMode::legacy) != EswitchMode::legacy) entry.eswitch = pf.eswitch;
  if (pf.mtu.value_or(kUsualMtu) != kUsualMtu) entry.mtu = pf.mtu;
  std::vector<VfEntry> single;
  for (unsigned index = 0; index < pf.vfs.size(); ++index) single.push_back(shown_vf(pf.vfs[index], index));
  entry.vfs = joined(single);
  return entry;
}

bool has_own_vfs(const FunctionState& function) {
  if (!function.pf) return false;
  const auto& pf = *function.pf;
  return !pf.vfs.empty() || !pf.autoprobe || pf.eswitch.mode == EswitchMode::switchdev;
}

DeviceEntry exact_device(const FunctionState& function) {
  DeviceEntry device{.name = name_of(function)};
  name_exactly(function, device);
  if (function.pf) device.sriov = exact_sriov(*function.pf);
  device.passthrough = exact_passthrough(function);
  return device;
}

std::optional<DeviceEntry> shown_device(const HostState& state, const FunctionState& function) {
  DeviceEntry device{.name = name_of(function)};
  name_best(state, function, device);
  if (!is_hosts(function.driver) || function.bound_by_pcivm) {
    device.passthrough = shown_passthrough(function);
  } else if (has_own_vfs(function)) {
    device.sriov = shown_sriov(*function.pf);
  } else {
    return std::nullopt;
  }
  return device;
}

}  // namespace

HostConfig as_config(const HostState& state, bool complete) {
  HostConfig config{.allow_recreate = complete};
  for (const auto& function : state.functions) {
    if (complete) config.devices.push_back(exact_device(function));
    const auto shown = complete ? std::nullopt : shown_device(state, function);
    if (shown) config.devices.push_back(*shown);
  }
  return config;
}

}  // namespace pcivm::sriov
