// SPDX-License-Identifier: GPL-2.0-or-later
// A topology for Graphviz: clusters for sockets, switches and IOMMU groups, edges from ports to what is behind them.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/topology_view.hpp"

namespace pcivm::cli {

using iommu::Place;

namespace {

/// A double-quoted ID: only quotes and backslashes are special (Graphviz, "The DOT Language").
std::string dot_string(std::string_view text) {
  std::string safe{'"'};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') safe += '\\';
    safe += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return safe + '"';
}

/// Fill colours by style_of; the state stands in the label too.
std::string_view color_of(std::string_view style) {
  if (style == "host") return "#dbe9f9";
  if (style == "vfio") return "#d9f2dc";
  if (style == "process") return "#fde3c4";
  return style == "nobody" ? "#f3f3f3" : "#ffffff";
}

class Dot {
 public:
  explicit Dot(const TopologyView& view) : view_{view} {}

  std::string draw() {
    text_ =
        "digraph pci {\n  rankdir=LR;\n  compound=true;\n  fontname=\"sans-serif\";\n"
        "  node [shape=box, style=\"filled,rounded\", fontname=\"monospace\", fontsize=10];\n"
        "  edge [arrowhead=none];\n";
    siblings(view_.roots(), std::nullopt);
    return text_ + edges_ + "}\n";
  }

 private:
  void open_cluster(std::string_view label, std::string_view style) {
    text_ += fmt::format("subgraph cluster_{} {{\n  label={};\n  style={};\n", clusters_++, dot_string(label), style);
  }

  void siblings(const std::vector<std::size_t>& all, std::optional<std::uint32_t> boxed) {
    for (const auto& piece : view_.by_group(all)) {
      const auto group = view_.common_group(piece);
      std::size_t count = 0;
      for (const auto index : piece) count += view_.functions(index);
      const bool box = group && group != boxed && count > 1;
      if (box) open_cluster(fmt::format("IOMMU group {}", *group), "dashed");
      for (const auto& run : view_.runs(piece)) {
        if (run.size() > kMostAlike) many(run);
        if (run.size() <= kMostAlike) std::ranges::for_each(run, [&](auto index) { node(index, box ? group : boxed); });
      }
      if (box) text_ += "}\n";
    }
  }

  void node(std::size_t index, std::optional<std::uint32_t> boxed) {
    const auto& node = view_.at(index);
    const bool cluster = !node.function || node.place == Place::upstream_port;
    if (cluster) open_cluster(node.function ? "switch" : node.label, "rounded");
    if (node.function) box(node.id, {node.id, view_.name(index), view_.group(index), view_.state(index)}, index);
    siblings(node.children, boxed);
    if (cluster) text_ += "}\n";
  }

  /// VFs that look alike, as one.
  void many(const std::vector<std::size_t>& run) {
    const auto first = run.front();
    box(view_.at(first).id,
        {fmt::format("{} VFs: {} to {}", run.size(), view_.at(first).id, view_.at(run.back()).id), view_.name(first),
         view_.groups(run), view_.state(first)},
        first);
  }

  void box(const std::string& id, std::vector<std::string> lines, std::size_t index) {
    const auto& node = view_.at(index);
    std::erase(lines, "");
    if (node.place != Place::function && node.place != Place::vf)
      lines[0] += fmt::format(" ({})", to_string(node.place));
    std::string label;
    for (const auto& line : lines) {
      const auto text = dot_string(line);
      label += text.substr(1, text.size() - 2) + "\\l";  // left-justified lines
    }
    text_ += fmt::format("  {} [label=\"{}\", fillcolor=\"{}\"];\n", dot_string(id), label, color_of(style_of(node)));
    if (node.parent && view_.at(*node.parent).function) {
      edges_ += fmt::format("  {} -> {};\n", dot_string(view_.at(*node.parent).id), dot_string(id));
    }
  }

  const TopologyView& view_;
  std::string text_;
  std::string edges_;
  unsigned clusters_{0};
};

}  // namespace

std::string to_dot(const TopologyView& view) { return Dot{view}.draw(); }

}  // namespace pcivm::cli
