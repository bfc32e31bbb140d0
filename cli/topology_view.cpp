// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/topology_view.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "cli/device_facts.hpp"

namespace pcivm::cli {

using iommu::Holder;
using iommu::Place;
using iommu::TopologyNode;

namespace {

/// VFs that differ in nothing but their address.
bool alike(const TopologyNode& left, const TopologyNode& right) {
  if (left.place != Place::vf || right.place != Place::vf) return false;
  if (!left.owner.empty() || !right.owner.empty() || left.holder != right.holder) return false;
  return left.function->device == right.function->device && left.function->driver == right.function->driver;
}

/// Consecutive elements in pieces: a new one where `together` does not hold between neighbours.
template <class Together>
std::vector<std::vector<std::size_t>> pieces(const std::vector<std::size_t>& all, Together together) {
  std::vector<std::vector<std::size_t>> made;
  for (const auto index : all) {
    if (made.empty() || !together(made.back().back(), index)) made.emplace_back();
    made.back().push_back(index);
  }
  return made;
}

}  // namespace

std::vector<std::size_t> TopologyView::roots() const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].parent) found.push_back(i);
  }
  return found;
}

std::string TopologyView::name(std::size_t index) const {
  const auto& node = at(index);
  return node.function ? short_name(names, *node.function) : node.label;
}

std::string TopologyView::group(std::size_t index) const {
  const auto& function = at(index).function;
  return function && function->iommu_group ? fmt::format("group {}", *function->iommu_group) : "";
}

std::string TopologyView::state(std::size_t index) const {
  const auto& node = at(index);
  if (!node.function) return {};
  std::string text{to_string(node.holder)};
  if (node.holder == Holder::process) return fmt::format("{}: {}", text, node.owner);
  if (!node.function->driver.empty()) text += fmt::format(": {}", node.function->driver);
  if (!node.owner.empty()) text += fmt::format(", {}", node.owner);
  return text;
}

std::optional<std::uint32_t> TopologyView::common_group(std::size_t index) const {
  const auto& node = at(index);
  if (!node.function || !node.function->iommu_group) return std::nullopt;
  const auto same = [&](std::size_t child) { return common_group(child) == node.function->iommu_group; };
  return std::ranges::all_of(node.children, same) ? node.function->iommu_group : std::nullopt;
}

std::optional<std::uint32_t> TopologyView::common_group(const std::vector<std::size_t>& piece) const {
  const auto group = common_group(piece.front());
  return std::ranges::all_of(piece, [&](auto index) { return common_group(index) == group; }) ? group : std::nullopt;
}

std::size_t TopologyView::functions(std::size_t index) const {
  std::size_t count = at(index).function ? 1 : 0;
  for (const auto child : at(index).children) count += functions(child);
  return count;
}

std::vector<std::vector<std::size_t>> TopologyView::runs(const std::vector<std::size_t>& siblings) const {
  return pieces(siblings, [&](std::size_t left, std::size_t right) { return alike(at(left), at(right)); });
}

std::vector<std::vector<std::size_t>> TopologyView::by_group(const std::vector<std::size_t>& siblings) const {
  return pieces(siblings, [&](std::size_t left, std::size_t right) {
    const auto group = common_group(left);
    return (group && group == common_group(right)) || alike(at(left), at(right));
  });
}

std::string TopologyView::groups(const std::vector<std::size_t>& run) const {
  std::set<std::uint32_t> numbers;
  for (const auto index : run) {
    if (const auto number = at(index).function->iommu_group) numbers.insert(*number);
  }
  if (numbers.empty()) return {};
  if (numbers.size() == 1) return fmt::format("group {}", *numbers.begin());
  const bool whole = *numbers.rbegin() - *numbers.begin() + 1 == numbers.size();
  return fmt::format("groups {}{} to {}", whole ? "" : "within ", *numbers.begin(), *numbers.rbegin());
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&') {
      safe += "&amp;";
    } else if (c == '<') {
      safe += "&lt;";
    } else if (c == '>') {
      safe += "&gt;";
    } else if (c == '"') {
      safe += "&quot;";
    } else if (byte >= 0x20 && byte < 0x7f) {
      safe += c;
    } else if ((byte & 0xc0U) != 0x80) {  // not the second or later byte of a character
      safe += '?';
    }
  }
  return safe;
}

std::string_view style_of(const TopologyNode& node) {
  if (!node.function || node.function->is_bridge) return "port";
  switch (node.holder) {
    case Holder::nobody: return "nobody";
    case Holder::host: return "host";
    case Holder::vfio: return "vfio";
    case Holder::process: return "process";
  }
  return "port";
}

}  // namespace pcivm::cli
