// SPDX-License-Identifier: GPL-2.0-or-later
// One map of a configuration while it is read. Each key is asked for once; at the end, a key that nobody asked for is a
// problem with the nearest valid key as hint.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/config_problem.hpp"
#include "cli/config_yaml.hpp"

namespace pcivm::cli {

/// Where a file's problems go.
struct ConfigSink {
  const std::string& file;
  ConfigProblems& problems;

  [[nodiscard]] sriov::Place place(unsigned line, unsigned column) const { return {file, line, column}; }
  void add(sriov::Place place, std::string text, std::string hint = {}) const;
  void add(const ConfigNode& at, std::string text, std::string hint = {}) const {
    add(place(at.line, at.column), std::move(text), std::move(hint));
  }
};

class ConfigMap final {
 public:
  /// `path` names it in problems: "devices.lan0.sriov". What is no map is a problem, and then has no keys.
  ConfigMap(const ConfigNode& node, std::string path, ConfigSink sink);
  /// The value of an entry; it stands where its key stands.
  ConfigMap(const ConfigEntry& entry, std::string path, ConfigSink sink);

  [[nodiscard]] const ConfigSink& sink() const { return sink_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const sriov::Place& place() const { return place_; }
  [[nodiscard]] std::string path_of(std::string_view key) const;
  /// Null when it is not there.
  [[nodiscard]] const ConfigNode* find(std::string_view key);
  /// The map below `key`; nothing when it is not there.
  [[nodiscard]] std::optional<ConfigMap> below(std::string_view key);

  /// Reads `key`, if it is there, into `target` by `read(node)`; what that refuses is a problem.
  template <class Target, class Read>
  void take(std::string_view key, Target& target, Read read) {
    const auto* node = find(key);
    if (node == nullptr) return;
    if (auto value = read(*node)) {
      target = std::move(*value);
    } else {
      refuse(*node, key, value.error());
    }
  }
  /// The same for each entry of a list; a word is taken for a list of one.
  template <class Target, class Read>
  void take_list(std::string_view key, std::vector<Target>& target, Read read) {
    const auto* node = find(key);
    if (node == nullptr) return;
    if (node->kind == ConfigNode::Kind::list && node->items.empty()) problem(*node, key, "an empty list");
    for (const auto& item : entries_of(*node)) {
      if (auto value = read(*item)) {
        target.push_back(std::move(*value));
      } else {
        refuse(*item, key, value.error());
      }
    }
  }

  void problem(const ConfigNode& at, std::string_view key, const std::string& text, std::string hint = {});
  void refuse(const ConfigNode& at, std::string_view key, const Error& error);
  /// "devices.lan0.match is missing"
  void require(std::string_view key, std::string_view wanted);
  /// To be called last.
  void finish();

 private:
  [[nodiscard]] const ConfigEntry* find_entry(std::string_view key);
  static std::vector<const ConfigNode*> entries_of(const ConfigNode& node);

  const ConfigNode& node_;
  sriov::Place place_;
  std::string path_;
  ConfigSink sink_;
  std::vector<std::string> known_{};
};

}  // namespace pcivm::cli
