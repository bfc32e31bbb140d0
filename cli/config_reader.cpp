// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_reader.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/config_check.hpp"
#include "cli/config_device.hpp"
#include "cli/config_value.hpp"

namespace pcivm::cli {

namespace {

using sriov::DeviceEntry;
using sriov::HostConfig;
using sriov::Place;

/// What one text says.
struct Part {
  std::optional<bool> allow_recreate{};
  Place allow_recreate_place{};
  std::vector<DeviceEntry> devices{};
  std::map<std::string, Place> pools{};
};

/// False when the rest would be read by the wrong rules.
bool check_head(ConfigMap& map) {
  map.require("apiVersion", kConfigVersion);
  map.require("kind", kConfigKind);
  std::string version{kConfigVersion};
  std::string kind{kConfigKind};
  map.take("apiVersion", version, text_value);
  const auto* node = map.find("kind");
  map.take("kind", kind, text_value);
  if (version == kConfigVersion && kind == kConfigKind) return true;
  const bool foreign = kind == "SriovNetworkNodePolicy";
  map.sink().add(
      node != nullptr && version == kConfigVersion ? map.sink().place(node->line, node->column) : map.place(),
      fmt::format("this is {} {}, wanted {} {}", excerpt(version), excerpt(kind), kConfigVersion, kConfigKind),
      foreign ? "pcivm config import sriov-operator FILE" : "");
  return false;
}

void read_defaults(ConfigMap& map, Part& part) {
  const auto* node = map.find("allowRecreate");
  if (node != nullptr) part.allow_recreate_place = map.sink().place(node->line, node->column);
  map.take("allowRecreate", part.allow_recreate, bool_value);
  map.finish();
}

/// False, and a problem, for what cannot be a name.
bool check_name(const ConfigSink& sink, const ConfigEntry& entry, std::string_view what) {
  if (is_name(entry.key)) return true;
  sink.add(
      sink.place(entry.line, entry.column),
      fmt::format("'{}' cannot name a {}, wanted at most 63 characters a-z, 0-9 and '-'", excerpt(entry.key), what));
  return false;
}

/// A map whose keys are names; `node` may be null.
template <class Take>
void read_named(ConfigMap& map, std::string_view key, std::string_view what, Take take) {
  const auto* node = map.find(key);
  if (node == nullptr || node->kind == ConfigNode::Kind::null) return;
  if (node->kind != ConfigNode::Kind::map) return map.problem(*node, key, fmt::format("wanted {}s by name", what));
  for (const auto& entry : node->entries) {
    if (check_name(map.sink(), entry, what)) take(entry);
  }
}

Part read_part(ConfigMap& map) {
  Part part;
  if (!check_head(map)) return part;
  if (auto defaults = map.below("defaults")) read_defaults(*defaults, part);
  read_named(map, "devices", "device", [&](const ConfigEntry& entry) {
    ConfigMap device{entry, fmt::format("devices.{}", entry.key), map.sink()};
    part.devices.push_back(read_device(device, entry.key));
  });
  read_named(map, "pools", "pool", [&](const ConfigEntry& entry) {
    part.pools.emplace(entry.key, map.sink().place(entry.line, entry.column));
    if (entry.value.kind == ConfigNode::Kind::null) return;
    ConfigMap{entry, fmt::format("pools.{}", entry.key), map.sink()}.finish();
  });
  map.finish();
  return part;
}

class Merger final {
 public:
  explicit Merger(ConfigProblems& problems) : problems_{problems} {}

  void add(Part part) {
    if (part.allow_recreate) merge_default(part);
    for (auto& device : part.devices) merge_device(std::move(device));
    config_.pools.merge(part.pools);
  }
  [[nodiscard]] HostConfig take() {
    std::ranges::sort(config_.devices, {}, &DeviceEntry::name);
    return std::move(config_);
  }

 private:
  void differ(const Place& here, const Place& there, std::string_view what) {
    if (problems_.size() >= kConfigMostProblems) return;
    problems_.push_back({here, fmt::format("{} is here and at {}, and they differ", what, to_string(there)),
                         "everything has one owner: write all of it into one file"});
  }
  void merge_default(const Part& part) {
    if (default_place_ && config_.allow_recreate != *part.allow_recreate) {
      return differ(part.allow_recreate_place, *default_place_, "defaults.allowRecreate");
    }
    if (!default_place_) default_place_ = part.allow_recreate_place;
    config_.allow_recreate = *part.allow_recreate;
  }
  void merge_device(DeviceEntry device) {
    const auto [found, first] = by_name_.emplace(device.name, config_.devices.size());
    if (first) {
      config_.devices.push_back(std::move(device));
      return;
    }
    const auto& other = config_.devices[found->second];
    if (without_places(device) == without_places(other)) return;
    differ(device.place, other.place, fmt::format("device {}", device.name));
  }

  ConfigProblems& problems_;
  HostConfig config_;
  std::map<std::string, std::size_t> by_name_;
  std::optional<Place> default_place_;
};

}  // namespace

HostConfig read_config(std::span<const ConfigText> texts, ConfigProblems& problems) {
  Merger merger{problems};
  std::vector<std::string> files;
  for (const auto& each : texts) {
    files.push_back(each.file);
    const auto root = read_yaml(each.file, each.text, problems);
    if (!root) continue;
    if (root->kind == ConfigNode::Kind::null) {
      problems.push_back({{each.file, 0, 0}, "there is nothing in it", {}});
      continue;
    }
    ConfigMap map{*root, "", ConfigSink{each.file, problems}};
    if (root->kind == ConfigNode::Kind::map) merger.add(read_part(map));
  }
  auto config = merger.take();
  config.files = std::move(files);
  // Not half a configuration: what is missing because of a problem would be the next problem.
  if (problems.empty()) check_config(config, problems);
  return config;
}

}  // namespace pcivm::cli
