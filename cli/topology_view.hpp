// SPDX-License-Identifier: GPL-2.0-or-later
// What all drawings of a topology say alike: words, names, and which VFs look the same and can be drawn as one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "iommu/pci_names.hpp"
#include "iommu/topology.hpp"

namespace pcivm::cli {

/// A topology and the names of its functions. Refers to both; lives as long as the drawing is made.
struct TopologyView {
  const iommu::Topology& nodes;
  const iommu::PciNames& names;

  [[nodiscard]] const iommu::TopologyNode& at(std::size_t index) const { return nodes[index]; }
  [[nodiscard]] std::vector<std::size_t> roots() const;
  /// "Intel 82576 Virtual Function", or the label of what is no function.
  [[nodiscard]] std::string name(std::size_t index) const;
  /// "group 12"; empty without an IOMMU.
  [[nodiscard]] std::string group(std::size_t index) const;
  /// In words what the colour shows: "host: igb, eth2", "in use: VM web1 (pid 812)", "vfio, free: vfio-pci".
  [[nodiscard]] std::string state(std::size_t index) const;
  /// The group that the node and all below it are in, if they are in one.
  [[nodiscard]] std::optional<std::uint32_t> common_group(std::size_t index) const;
  /// Functions in the subtree, with the node itself.
  [[nodiscard]] std::size_t functions(std::size_t index) const;
  /// Consecutive siblings of which VFs that nobody uses, of one kind and driver, are together; all others alone.
  [[nodiscard]] std::vector<std::vector<std::size_t>> runs(const std::vector<std::size_t>& siblings) const;
  /// Consecutive siblings; together are those of one group with all that is below them, and VFs that look alike.
  [[nodiscard]] std::vector<std::vector<std::size_t>> by_group(const std::vector<std::size_t>& siblings) const;
  /// The group that a piece of siblings has in common.
  [[nodiscard]] std::optional<std::uint32_t> common_group(const std::vector<std::size_t>& piece) const;
  /// "groups 9 to 70", "group 9", or empty.
  [[nodiscard]] std::string groups(const std::vector<std::size_t>& run) const;
};

/// Runs of more VFs than this are drawn as one thing.
inline constexpr std::size_t kMostAlike = 8;

/// For XML and HTML: markup escaped, one "?" for each character beyond ASCII, so that its width is known.
[[nodiscard]] std::string escaped(std::string_view text);

/// One word for the class of a mark: "host", "vfio", "process", "nobody", "port".
[[nodiscard]] std::string_view style_of(const iommu::TopologyNode& node);

[[nodiscard]] std::string to_dot(const TopologyView& view);
/// Self-contained, `width` pixels wide.
[[nodiscard]] std::string to_svg(const TopologyView& view, int width);
/// The same for a page that has the rules of drawing_style() and rows with ids "f-BDF", to which its cards link.
[[nodiscard]] std::string to_svg_part(const TopologyView& view, int width);
[[nodiscard]] std::string_view drawing_style();
/// One page without anything from elsewhere.
[[nodiscard]] std::string to_html(const TopologyView& view);

}  // namespace pcivm::cli
