// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/topology.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

/// Nodes by id while their order is not known yet.
class Builder {
 public:
  Builder(const std::vector<Locality>& localities, std::set<Bdf> physical)
      : localities_{localities}, physical_{std::move(physical)} {}

  void add(PlacedFunction placed) {
    const auto id = placed.function.address.to_string();
    if (placed.path.empty()) placed.path = {fmt::format("pci{}", id.substr(0, id.find(':') + 3)), id};
    auto parent = placed.path.size() < 2 ? std::string{} : placed.path[placed.path.size() - 2];
    if (parent.starts_with("pci")) add_host_bridge(placed.path, placed.path.size() - 2);
    auto place = placed.function.is_bridge ? placed.port.value_or(Place::bridge) : Place::function;
    if (placed.function.is_bridge && !placed.port) guessed_.push_back(id);
    if (placed.function.physfn) {  // it stands on the bus of its PF; drawn, it hangs below it
      place = Place::vf;
      if (physical_.contains(*placed.function.physfn)) parent = placed.function.physfn->to_string();
    }
    insert({.id = id,
            .place = place,
            .function = std::move(placed.function),
            .holder = placed.holder,
            .owner = std::move(placed.owner)},
           std::move(parent));
  }

  /// Without the capability: a bridge at a host bridge is a root port; one that has only bridges below it, below
  /// another bridge, is the upstream port of a switch, and those are its downstream ports.
  void guess_ports() {
    for (const auto& id : guessed_) {
      auto& node = nodes_.at(id);
      const auto above = nodes_.find(parents_.at(id));
      if (above == nodes_.end() || above->second.place == Place::host_bridge) {
        node.place = Place::root_port;
      } else if (above->second.place == Place::upstream_port) {
        node.place = Place::downstream_port;
      } else if (has_only_bridges(id)) {
        node.place = Place::upstream_port;
      }
    }
  }

  Topology in_order() {
    Topology all;
    for (const auto& id : roots_) emit(id, std::nullopt, all);
    return all;
  }

 private:
  void insert(TopologyNode node, std::string parent) {
    const auto id = node.id;
    if (!nodes_.emplace(id, std::move(node)).second) return;
    (parent.empty() ? roots_ : children_[parent]).push_back(id);
    parents_.emplace(id, std::move(parent));
  }

  /// `at` = where in the path it stands: behind a function when that makes a domain of its own (VMD).
  void add_host_bridge(const std::vector<std::string>& path, std::size_t at) {
    const auto& id = path[at];
    const auto local = std::ranges::find(localities_, id, &Locality::host_bridge);
    auto parent = at == 0 ? std::string{} : path[at - 1];
    if (at == 0 && local != localities_.end()) {
      parent = local->id;
      insert({.id = local->id, .place = Place::locality, .label = local->label}, {});
    }
    insert({.id = id, .place = Place::host_bridge, .label = fmt::format("host bridge {}", id.substr(3))},
           std::move(parent));
  }

  bool has_only_bridges(const std::string& id) {
    const auto& below = children_[id];
    return !below.empty() &&
           std::ranges::all_of(below, [&](const auto& child) { return nodes_.at(child).function->is_bridge; });
  }

  std::size_t emit(const std::string& id, std::optional<std::size_t> parent, Topology& all) {
    const auto index = all.size();
    all.push_back(nodes_.at(id));
    all[index].parent = parent;
    for (const auto& child : children_[id]) {
      const auto made = emit(child, index, all);
      all[index].children.push_back(made);
    }
    return index;
  }

  const std::vector<Locality>& localities_;
  std::set<Bdf> physical_;  // what is no VF
  std::map<std::string, TopologyNode> nodes_;
  std::map<std::string, std::vector<std::string>> children_;
  std::map<std::string, std::string> parents_;
  std::vector<std::string> roots_;
  std::vector<std::string> guessed_;  // in address order, parents first
};

}  // namespace

std::string_view to_string(Place place) {
  switch (place) {
    case Place::locality: return "locality";
    case Place::host_bridge: return "host bridge";
    case Place::root_port: return "root port";
    case Place::upstream_port: return "upstream port";
    case Place::downstream_port: return "downstream port";
    case Place::bridge: return "bridge";
    case Place::function: return "function";
    case Place::vf: return "VF";
  }
  return "?";
}

std::string_view to_string(Holder holder) {
  switch (holder) {
    case Holder::nobody: return "no driver";
    case Holder::host: return "host";
    case Holder::vfio: return "vfio, free";
    case Holder::process: return "in use";
  }
  return "?";
}

Topology build_topology(std::vector<PlacedFunction> functions, const std::vector<Locality>& localities) {
  std::set<Bdf> physical;
  for (const auto& placed : functions) {
    if (!placed.function.is_vf()) physical.insert(placed.function.address);
  }
  std::ranges::sort(functions, {}, [](const PlacedFunction& placed) { return placed.function.address; });
  Builder builder{localities, std::move(physical)};
  // Parents first: a bridge may have a higher bus number than what is below it.
  std::ranges::stable_sort(functions, {}, [](const PlacedFunction& placed) { return placed.path.size(); });
  for (auto& placed : functions) builder.add(std::move(placed));
  builder.guess_ports();
  return builder.in_order();
}

}  // namespace pcivm::iommu
