// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/topology_layout.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace pcivm::cli {

using iommu::Place;

namespace {

constexpr int kColumn = 288;  // a card: 36 characters
constexpr int kGap = 8;

std::string joined(std::vector<std::string> parts, std::string_view between) {
  std::erase(parts, "");
  return fmt::format("{}", fmt::join(parts, between));
}

/// What there is to draw, without a place yet.
class Contents {
 public:
  explicit Contents(const TopologyView& view) : view_{view} {}

  std::vector<Box> of(const std::vector<std::size_t>& siblings, std::optional<std::uint32_t> boxed) {
    std::vector<Box> boxes;
    for (const auto& piece : view_.by_group(siblings)) {
      const auto group = view_.common_group(piece);
      std::size_t count = 0;
      for (const auto index : piece) count += view_.functions(index);
      if (!group || group == boxed || count < 2) {
        append(boxes, piece, boxed);
        continue;
      }
      Box box{.kind = Box::Kind::group, .lines = {fmt::format("IOMMU group {}: {} together", *group, count)}};
      box.hint = fmt::format("IOMMU group {}: these {} functions go to one VM, or none", *group, count);
      append(box.inside, piece, group);
      boxes.push_back(std::move(box));
    }
    return boxes;
  }

 private:
  void append(std::vector<Box>& boxes, const std::vector<std::size_t>& piece, std::optional<std::uint32_t> boxed) {
    for (const auto& run : view_.runs(piece)) {
      if (run.size() > kMostAlike) {
        boxes.push_back(many(run));
      } else {
        for (const auto index : run) boxes.push_back(one(index, boxed));
      }
    }
  }

  Box one(std::size_t index, std::optional<std::uint32_t> boxed) {
    const auto& node = view_.at(index);
    const bool holds = !node.function || node.function->is_bridge;
    if (!holds && node.children.empty()) return card(index);
    Box area{.kind = Box::Kind::area, .hint = hint(index)};
    if (!node.function) {
      area.lines = {node.label};
    } else if (node.function->is_bridge) {
      area.lines = {joined({node.id, std::string{to_string(node.place)}, view_.group(index)}, ", ")};
    } else {
      area.lines = {fmt::format("{} with {} VFs", node.id, node.children.size())};
      area.inside.push_back(card(index));
    }
    for (auto& box : of(node.children, boxed)) area.inside.push_back(std::move(box));
    return area;
  }

  Box card(std::size_t index) const {
    const auto& node = view_.at(index);
    return {.kind = Box::Kind::card,
            .lines = {joined({node.id, node.place == Place::vf ? "VF" : "", view_.group(index)}, ", "),
                      view_.name(index), view_.state(index)},
            .hint = hint(index),
            .style = style_of(node),
            .nodes = {index}};
  }

  Box many(const std::vector<std::size_t>& run) const {
    const auto first = run.front();
    return {.kind = Box::Kind::dots,
            .lines = {joined({fmt::format("{} VFs", run.size()), view_.groups(run)}, ", "),
                      fmt::format("{} to {}", view_.at(first).id, view_.at(run.back()).id), view_.name(first),
                      view_.state(first)},
            .hint = joined({fmt::format("{} VFs", run.size()), view_.name(first), view_.state(first)}, "; "),
            .style = style_of(view_.at(first)),
            .nodes = run};
  }

  std::string hint(std::size_t index) const {
    const auto& node = view_.at(index);
    if (!node.function) return node.label;
    const auto place = node.place == Place::function ? std::string{} : std::string{to_string(node.place)};
    return joined({node.id, place, view_.name(index), view_.group(index), view_.state(index)}, "; ");
  }

  const TopologyView& view_;
};

/// Cards side by side that a box asks for, at most `most`.
int columns_of(const Box& box, int most) {
  if (box.kind == Box::Kind::card) return 1;
  if (box.kind == Box::Kind::dots) return std::min(most, 2);
  int sum = 0;
  for (const auto& inside : box.inside) sum += columns_of(inside, most);
  return std::clamp(sum, 1, most);
}

int fill_rows(std::vector<Box>& boxes, int left, int top, int width);

void place(Box& box, int x, int y, int width) {
  box.x = x;
  box.y = y;
  box.width = width;
  const auto most = characters_in(width - 2 * kPad);
  for (auto& line : box.lines) {
    if (line.size() > most) line = line.substr(0, most - 2) + "..";
  }
  const auto text = y + kPad / 2 + static_cast<int>(box.lines.size()) * kLine;
  if (box.kind == Box::Kind::dots) {
    const int in_row = std::max(1, (width - 2 * kPad) / kDot);
    const int rows = (static_cast<int>(box.nodes.size()) + in_row - 1) / in_row;
    box.height = text + rows * kDot + kPad - y;
  } else if (box.inside.empty()) {
    box.height = text + kPad - y;
  } else {
    box.height = fill_rows(box.inside, x + kPad, text + kPad / 2, width - 2 * kPad) + kPad - y;
  }
}

/// Boxes from left to right in columns, row below row. Returns the bottom.
int fill_rows(std::vector<Box>& boxes, int left, int top, int width) {
  const int most = std::max(1, (width + kGap) / (kColumn + kGap));
  const int column = (width - (most - 1) * kGap) / most;
  int used = 0;
  int bottom = top;
  for (auto& box : boxes) {
    const int columns = columns_of(box, most);
    if (used != 0 && used + columns > most) {
      top = bottom + kGap;
      used = 0;
    }
    const int right_margin = columns == most ? width - (column + kGap) * most + kGap : 0;  // what division left over
    place(box, left + used * (column + kGap), top, columns * (column + kGap) - kGap + right_margin);
    bottom = std::max(bottom, box.y + box.height);
    used += columns;
  }
  return bottom;
}

}  // namespace

std::size_t characters_in(int width) {
  // Fixed-width fonts are 0.55 to 0.61 of their size wide.
  const int tenths = 75;
  return static_cast<std::size_t>(std::max(4, width * 10 / tenths));
}

std::vector<Box> lay_out(const TopologyView& view, int width, int top) {
  auto boxes = Contents{view}.of(view.roots(), std::nullopt);
  for (auto& box : boxes) {
    place(box, 0, top, width);
    top = box.y + box.height + kGap;
  }
  return boxes;
}

int bottom_of(const std::vector<Box>& boxes, int top) {
  return boxes.empty() ? top : boxes.back().y + boxes.back().height;
}

}  // namespace pcivm::cli
