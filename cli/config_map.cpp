// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_map.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest.hpp"

namespace pcivm::cli {

void ConfigSink::add(sriov::Place where, std::string text, std::string hint) const {
  if (problems.size() < kConfigMostProblems) problems.push_back({std::move(where), std::move(text), std::move(hint)});
}

ConfigMap::ConfigMap(const ConfigNode& node, std::string path, ConfigSink sink)
    : node_{node}, place_{sink.place(node.line, node.column)}, path_{std::move(path)}, sink_{sink} {
  if (node_.kind == ConfigNode::Kind::map) return;
  const auto name = path_.empty() ? std::string{} : path_ + ": ";
  const auto* found = node_.kind == ConfigNode::Kind::null ? "nothing is given" : "this is no map";
  sink_.add(node_, fmt::format("{}{}, wanted keys with their values", name, found));
}

ConfigMap::ConfigMap(const ConfigEntry& entry, std::string path, ConfigSink sink)
    : ConfigMap{entry.value, std::move(path), sink} {
  place_ = sink.place(entry.line, entry.column);
}

std::string ConfigMap::path_of(std::string_view key) const {
  return path_.empty() ? std::string{key} : fmt::format("{}.{}", path_, key);
}

const ConfigEntry* ConfigMap::find_entry(std::string_view key) {
  known_.emplace_back(key);
  const auto found = std::ranges::find(node_.entries, key, &ConfigEntry::key);
  return found == node_.entries.end() ? nullptr : &*found;
}

const ConfigNode* ConfigMap::find(std::string_view key) {
  const auto* entry = find_entry(key);
  return entry == nullptr ? nullptr : &entry->value;
}

std::optional<ConfigMap> ConfigMap::below(std::string_view key) {
  const auto* entry = find_entry(key);
  if (entry == nullptr) return std::nullopt;
  return ConfigMap{*entry, path_of(key), sink_};
}

void ConfigMap::problem(const ConfigNode& at, std::string_view key, const std::string& text, std::string hint) {
  sink_.add(at, fmt::format("{}: {}", path_of(key), text), std::move(hint));
}

void ConfigMap::refuse(const ConfigNode& at, std::string_view key, const Error& error) {
  problem(at, key, error.text(), error.hint());
}

void ConfigMap::require(std::string_view key, std::string_view wanted) {
  const bool there = std::ranges::find(node_.entries, key, &ConfigEntry::key) != node_.entries.end();
  if (there || node_.kind != ConfigNode::Kind::map) return;
  sink_.add(place_, fmt::format("{} is missing, wanted {}", path_of(key), wanted));
}

void ConfigMap::finish() {
  for (const auto& entry : node_.entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    if (sink_.problems.size() >= kConfigMostProblems) return;
    const auto meant = nearest(entry.key, known_);
    sink_.add(
        sink_.place(entry.line, entry.column), fmt::format("{}: there is no such key", path_of(excerpt(entry.key))),
        meant.empty() ? fmt::format("keys here: {}", fmt::join(known_, ", ")) : fmt::format("did you mean {}", meant));
  }
}

std::vector<const ConfigNode*> ConfigMap::entries_of(const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::list) return {&node};
  std::vector<const ConfigNode*> entries;
  for (const auto& item : node.items) entries.push_back(&item);
  return entries;
}

}  // namespace pcivm::cli
