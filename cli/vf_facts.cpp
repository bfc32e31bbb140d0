// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vf_facts.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/host_change.hpp"
#include "cli/selector.hpp"
#include "iommu/inventory.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::cli {

namespace {

Json attributes_json(const sriov::VfAttributes& attributes) {
  const auto& vlan = attributes.vlan;
  const auto& rate = attributes.rate;
  const auto text = [](const auto& value) { return value ? Json(value->to_string()) : Json(nullptr); };
  return {{"mac", text(attributes.mac)},
          {"vlan", vlan ? Json(vlan->id) : Json(nullptr)},
          {"qos", vlan ? Json(vlan->qos) : Json(nullptr)},
          {"proto", vlan ? Json(to_string(vlan->protocol)) : Json(nullptr)},
          {"trust", or_null(attributes.trust)},
          {"spoofchk", or_null(attributes.spoofchk)},
          {"linkState", attributes.link_state ? Json(to_string(*attributes.link_state)) : Json(nullptr)},
          {"minTxRate", rate ? Json(rate->min) : Json(nullptr)},
          {"maxTxRate", rate ? Json(rate->max) : Json(nullptr)},
          {"rssQuery", or_null(attributes.rss_query)},
          {"nodeGuid", text(attributes.node_guid)},
          {"portGuid", text(attributes.port_guid)},
          {"roce", or_null(attributes.roce)},
          {"migratable", or_null(attributes.migratable)},
          {"rateParent", or_null(attributes.rate_parent)},
          {"msixCount", or_null(attributes.msix_count)}};
}

// "1,3" of a controller without namespaces is empty.
Json numbers_json(std::string_view text) {
  auto list = Json::array();
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    if (const auto number = parse_decimal<std::uint32_t>(text.substr(0, comma))) list.push_back(*number);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

Json profile_json(const VfFacts& facts) {
  if (facts.profile.empty()) return nullptr;
  auto values = Json::object();
  for (const auto& [name, value] : facts.profile) values[name] = value;
  return {{"adapter", facts.adapter}, {"values", std::move(values)}};
}

Json nvme_json(const VfFacts& facts) {
  if (facts.adapter != "nvme" || facts.profile.empty()) return nullptr;
  auto json = Json::object();
  for (const auto& [name, value] : facts.profile) {
    const auto number = parse_decimal<std::uint32_t>(value);
    json[name] = name == "namespaces" ? numbers_json(value) : number ? Json(*number) : Json(value);
  }
  return json;
}

/// The VFs of `physicals` as devices: what a table shows of them, or all for a document. Who uses what is read once for
/// the whole host: it takes as long for one function.
/// Nobody uses VFs that were just made, `fresh`, unless a host driver has them.
Result<std::map<Bdf, DeviceFacts>> devices_of(Context& context, const std::vector<Bdf>& physicals, bool fresh) {
  std::vector<DeviceFacts> found;
  if (context.structured()) {
    found = TRY(all_device_facts(context.root()));
  } else {
    std::vector<Bdf> addresses;
    for (const auto pf : physicals) {
      const auto vfs = sriov::vfs_of(context.root(), pf);
      addresses.insert(addresses.end(), vfs.begin(), vfs.end());
    }
    const auto functions = iommu::find_all(context.root(), addresses);
    const bool unused = fresh && std::ranges::all_of(functions, [](const iommu::Function& vf) {
                          return vf.driver.empty() || vfio::is_vfio_driver(vf.driver);
                        });
    std::vector<std::vector<iommu::InUse>> users(functions.size());
    if (!unused) users = TRY(iommu::users_of_all(context.root(), functions));
    for (std::size_t i = 0; i < functions.size(); ++i) {
      auto& facts = found.emplace_back();
      static_cast<iommu::Function&>(facts.function) = functions[i];
      facts.users = std::move(users[i]);
    }
  }
  std::map<Bdf, DeviceFacts> devices;
  for (auto& each : found) {
    const auto address = each.function.address;
    devices.emplace(address, std::move(each));
  }
  return devices;
}

}  // namespace

Result<std::vector<VfFacts>> vf_facts(Context& context, std::optional<Bdf> physical) {
  const auto host = host_of(context);
  const auto port = vf_port(context);
  return vf_facts(context, host, port.get(), physical, false);
}

Result<std::vector<VfFacts>> vf_facts(Context& context, const vfio::Host& host, sriov::VfPort* port,
                                      std::optional<Bdf> physical, bool fresh) {
  std::vector<Bdf> physicals;
  if (physical) {
    TRY(sriov::read_physical(host, *physical));
    physicals = {*physical};
  } else {
    physicals = TRY(sriov::physical_functions(context.root()));
  }
  auto devices = TRY(devices_of(context, physicals, fresh));
  std::vector<VfFacts> all;
  for (const auto pf : physicals) {
    auto vfs = TRY(sriov::list(host, pf, port));
    if (vfs.empty()) continue;
    const auto [kind, adapter] = sriov::reader_for(host, sriov::builtin_adapters(), pf);
    for (auto& vf : vfs) {
      const auto device = devices.find(vf.address);
      if (device == devices.end()) continue;  // it vanished meanwhile
      VfFacts facts{.vf = std::move(vf), .device = std::move(device->second), .adapter = std::string{kind}};
      if (adapter) facts.profile = adapter->profile(facts.vf.index).value_or(sriov::Profile{});
      all.push_back(std::move(facts));
    }
  }
  return all;
}

Json to_json(const VfFacts& facts, const iommu::PciNames& names) {
  auto json = to_json(facts.device, names);
  json.erase("hasVfToken");  // a VF opens with that of its PF
  json["attributes"] = attributes_json(facts.vf.attributes);
  json["attributesMissing"] = facts.vf.missing.empty() ? Json(nullptr) : Json(facts.vf.missing);
  json["profile"] = profile_json(facts);
  json["nvme"] = nvme_json(facts);
  return json;
}

Result<int> print_vfs(Context& context, const std::vector<VfFacts>& vfs) {
  // The names of devices are in none of the columns, and reading them all takes a while.
  const auto names = iommu::PciNames::open();
  Listing listing{.kind = "VFList",
                  .columns = {{.title = "ADDRESS"},
                              {.title = "PF"},
                              {.title = "VF", .right = true},
                              {.title = "DRIVER"},
                              {.title = "GROUP", .right = true},
                              {.title = "MAC"},
                              {.title = "VLAN"},
                              {.title = "IN USE", .may_cut = true},
                              {.title = "TRUST", .wide_only = true},
                              {.title = "SPOOFCHK", .wide_only = true},
                              {.title = "LINK", .wide_only = true},
                              {.title = "RATE", .wide_only = true},
                              {.title = "RSS QUERY", .wide_only = true},
                              {.title = "MSIX", .wide_only = true, .right = true},
                              {.title = "NODE GUID", .wide_only = true},
                              {.title = "PORT GUID", .wide_only = true},
                              {.title = "PROFILE", .wide_only = true}},
                  .empty_note = "there are no virtual functions; pcivm vf create makes some"};
  for (const auto& each : vfs) {
    const auto& vf = each.vf;
    const auto& device = each.device;
    const auto& attributes = vf.attributes;
    listing.rows.push_back({{vf.address.to_string()},
                            {vf.physical.to_string()},
                            {fmt::to_string(vf.index)},
                            {vf.driver},
                            {vf.iommu_group ? fmt::to_string(*vf.iommu_group) : ""},
                            {mac_text(attributes)},
                            {vlan_text(attributes)},
                            {iommu::to_string(device.users)},
                            {switch_text(attributes.trust)},
                            {switch_text(attributes.spoofchk)},
                            {attributes.link_state ? std::string{to_string(*attributes.link_state)} : ""},
                            {rate_text(attributes)},
                            {switch_text(attributes.rss_query)},
                            {attributes.msix_count ? fmt::to_string(*attributes.msix_count) : ""},
                            {attributes.node_guid ? attributes.node_guid->to_string() : ""},
                            {attributes.port_guid ? attributes.port_guid->to_string() : ""},
                            {profile_text(each)}});
    if (context.structured()) listing.items.push_back(to_json(each, names));
  }
  return print(context, listing);
}

Result<VfName> select_vf(Context& context, const std::string& text) {
  const auto address = TRY(select_function(context.root(), text));
  const auto physical = Bdf::parse(context.root().link_name(vfio::directory_of(address) + "/physfn"));
  if (!physical) {
    return fail(Error::make(Errc::invalid, fmt::format("{} is no virtual function", address.to_string()))
                    .coded("device.not_vf")
                    .advise("PF/vfN names one, as in eth2/vf3; pcivm vf list"));
  }
  const auto vfs = sriov::vfs_of(context.root(), *physical);
  const auto found = std::ranges::find(vfs, address);
  return VfName{.address = address, .physical = *physical, .index = static_cast<unsigned>(found - vfs.begin())};
}

std::string vlan_text(const sriov::VfAttributes& attributes) {
  const auto& vlan = attributes.vlan;
  if (!vlan || vlan->id == 0) return {};
  return fmt::format("{}{}{}", vlan->id, vlan->qos != 0 ? fmt::format(" (qos {})", vlan->qos) : "",
                     vlan->protocol == sriov::VlanProtocol::dot1ad ? " 802.1ad" : "");
}

std::string mac_text(const sriov::VfAttributes& attributes) {
  // All zero is "none given", which a table shows as nothing.
  if (!attributes.mac || *attributes.mac == MacAddress{}) return {};
  return attributes.mac->to_string();
}

std::string switch_text(const std::optional<bool>& value) {
  if (!value) return {};
  return *value ? "on" : "off";
}

std::string profile_text(const VfFacts& facts) {
  std::string text;
  for (const auto& [name, value] : facts.profile) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  return text;
}

std::string rate_text(const sriov::VfAttributes& attributes) {
  const auto& rate = attributes.rate;
  if (!rate || (rate->min == 0 && rate->max == 0)) return {};
  return rate->min != 0 ? fmt::format("{}-{}", rate->min, rate->max) : fmt::to_string(rate->max);
}

}  // namespace pcivm::cli
