// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_writer.hpp"

#include <utility>

#include <fmt/format.h>

#include "cli/config_reader.hpp"
#include "cli/json.hpp"
#include "cli/render_yaml.hpp"

namespace pcivm::cli {

namespace {

// What is not set is not written.
template <class T>
void put(Json& map, const char* key, const std::optional<T>& value) {
  if (value) map[key] = *value;
}
template <class T>
void put_text(Json& map, const char* key, const std::optional<T>& value) {
  if (value) map[key] = value->to_string();
}
template <class T>
void put_word(Json& map, const char* key, const std::optional<T>& value) {
  if (value) map[key] = sriov::to_string(*value);
}
void put_map(Json& map, const char* key, Json value) {
  if (!value.empty()) map[key] = std::move(value);
}

void put_id(Json& map, const char* key, const std::optional<sriov::PciId>& id) {
  if (id) map[key] = fmt::format("{:04x}:{:04x}", id->vendor, id->device);
}

Json to_json(const sriov::DeviceMatch& match) {
  auto json = Json::object();
  put_text(json, "permanentMac", match.permanent_mac);
  put_text(json, "permanentGuid", match.permanent_guid);
  put(json, "serial", match.serial);
  auto nvme = Json::object();
  put(nvme, "serial", match.nvme_serial);
  put(nvme, "nqn", match.nvme_nqn);
  put_map(json, "nvme", std::move(nvme));
  put(json, "slot", match.slot);
  put(json, "path", match.path);
  put_text(json, "bdf", match.address);
  put(json, "function", match.function);
  return json;
}

Json to_json(const sriov::DeviceExpect& expect) {
  auto json = Json::object();
  put_id(json, "id", expect.id);
  put_id(json, "subsystem", expect.subsystem);
  put(json, "driver", expect.driver);
  put(json, "firmware", expect.firmware);
  return json;
}

void put_wish(Json& json, const sriov::VfWish& wish) {
  auto vlan = Json::object();
  put(vlan, "id", wish.vlan);
  put(vlan, "qos", wish.qos);
  put_word(vlan, "proto", wish.protocol);
  put_map(json, "vlan", std::move(vlan));
  auto rate = Json::object();
  put(rate, "min", wish.min_tx_rate);
  put(rate, "max", wish.max_tx_rate);
  put_map(json, "rate", std::move(rate));
  put(json, "trust", wish.trust);
  put(json, "spoofchk", wish.spoofchk);
  put_word(json, "linkState", wish.link_state);
  put(json, "rssQuery", wish.rss_query);
  put(json, "msix", wish.msix_count);
  auto guid = Json::object();
  put_text(guid, "node", wish.node_guid);
  put_text(guid, "port", wish.port_guid);
  put_map(json, "guid", std::move(guid));
  put(json, "roce", wish.roce);
  put(json, "migratable", wish.migratable);
  if (wish.rate_parent) json["rateParent"] = wish.rate_parent->empty() ? "none" : *wish.rate_parent;
}

Json to_json(const sriov::VfEntry& entry) {
  auto json = Json::object();
  if (entry.first == entry.last) {
    json["index"] = entry.first;
  } else {
    json["index"] = fmt::format("{}-{}", entry.first, entry.last);
  }
  put(json, "bind", entry.bind);
  put(json, "mac", entry.mac);
  put_wish(json, entry.wish);
  put(json, "name", entry.name);
  put(json, "pool", entry.pool);
  return json;
}

Json to_json(const sriov::SriovEntry& entry) {
  auto json = Json::object();
  put(json, "numVfs", entry.num_vfs);
  put(json, "autoprobe", entry.autoprobe);
  auto eswitch = Json::object();
  put_word(eswitch, "mode", entry.eswitch.mode);
  put_word(eswitch, "inline", entry.eswitch.inline_mode);
  put(eswitch, "encap", entry.eswitch.encap);
  put_map(json, "eswitch", std::move(eswitch));
  auto pf = Json::object();
  put(pf, "mtu", entry.mtu);
  put(pf, "up", entry.up);
  put_map(json, "pf", std::move(pf));
  auto defaults = Json::object();
  put(defaults, "bind", entry.vf_bind);
  put_wish(defaults, entry.vf_defaults);
  put_map(json, "vfDefaults", std::move(defaults));
  auto vfs = Json::array();
  for (const auto& vf : entry.vfs) vfs.push_back(to_json(vf));
  put_map(json, "vfs", std::move(vfs));
  auto settings = Json::object();
  for (const auto& [key, value] : entry.settings) settings[key] = value;
  put_map(json, "settings", std::move(settings));
  return json;
}

Json to_json(const sriov::PassthroughEntry& entry) {
  auto json = Json::object();
  json["bind"] = entry.bind;
  if (entry.whole_group) json["group"] = "whole";
  if (entry.early) json["early"] = "initramfs";
  if (!entry.reset_methods.empty()) json["resetMethod"] = entry.reset_methods;
  put(json, "d3cold", entry.d3cold);
  put(json, "power", entry.power);
  put(json, "pool", entry.pool);
  return json;
}

Json to_json(const sriov::DeviceEntry& device) {
  Json json{{"match", to_json(device.match)}};
  put_map(json, "expect", to_json(device.expect));
  if (device.externally_managed) json["externallyManaged"] = true;
  if (device.sriov) json["sriov"] = to_json(*device.sriov);
  if (device.passthrough) json["passthrough"] = to_json(*device.passthrough);
  return json;
}

}  // namespace

Json config_document(const sriov::HostConfig& config) {
  Json json{{"apiVersion", kConfigVersion}, {"kind", kConfigKind}};
  if (config.allow_recreate) json["defaults"] = {{"allowRecreate", true}};
  auto devices = Json::object();
  for (const auto& device : config.devices) devices[device.name] = to_json(device);
  put_map(json, "devices", std::move(devices));
  auto pools = Json::object();
  for (const auto& [name, place] : config.pools) pools[name] = Json::object();
  put_map(json, "pools", std::move(pools));
  return json;
}

std::string write_config(const sriov::HostConfig& config) { return to_yaml(config_document(config)); }

}  // namespace pcivm::cli
