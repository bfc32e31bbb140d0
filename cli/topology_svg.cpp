// SPDX-License-Identifier: GPL-2.0-or-later
// A topology as a picture that needs nothing else: no script, no font, no other file. What a colour says, a word says
// too.
#include <fmt/format.h>

#include "cli/topology_layout.hpp"

namespace pcivm::cli {

namespace {

/// Rules by class, first for light, then for dark screens. Plain rules, because not every viewer knows variables.
constexpr std::string_view kStyle = R"(
text{font:12px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#1c2733;stroke:none}
text.head{font-weight:bold}text.name{fill:#4a5866}text.big{font-size:16px;font-weight:bold}
.page{fill:#ffffff}.area{fill:#f4f6f8;stroke:#c4ccd4}.area .area{fill:#fafbfc}.area .area .area{fill:#f1f4f6}
.group{fill:none;stroke:#7a4fb5;stroke-width:1.5;stroke-dasharray:5 3}text.of-group{fill:#6a3fa5}
.card{fill:#ffffff;stroke:#b4bec8}.host{fill:#2f72c4}.vfio{fill:#2b9348}.process{fill:#d9730d}.nobody{fill:#8d99a5}.port{fill:#c4ccd4}
a:hover .card,a:focus .card{stroke:#1c2733;stroke-width:2}
@media (prefers-color-scheme:dark){text{fill:#e4e9ee}text.name{fill:#a9b5c1}.page{fill:#12171c}
.area{fill:#1a2128;stroke:#3b4651}.area .area{fill:#161c22}.area .area .area{fill:#1d242b}
.group{stroke:#b596e6}text.of-group{fill:#c9b2ef}.card{fill:#232c35;stroke:#4a5763}
.host{fill:#5b9bea}.vfio{fill:#4cc46b}.process{fill:#f09a3e}.nobody{fill:#76828e}.port{fill:#3b4651}
a:hover .card,a:focus .card{stroke:#ffffff}}
)";

struct Legend {
  std::string_view style;
  std::string_view text;
};
constexpr Legend kLegend[] = {{"host", "used by the host"},
                              {"vfio", "on vfio, free"},
                              {"process", "in use by a VM or process"},
                              {"nobody", "no driver"}};
constexpr int kSwatch = 10;
constexpr int kTitle = 28;

class Svg {
 public:
  Svg(const TopologyView& view, bool linked) : view_{view}, linked_{linked} {}

  std::string draw(int width, bool styled) {
    const int top = kTitle + legend(width);
    const auto boxes = lay_out(view_, width, top);
    const int height = bottom_of(boxes, top) + kPad;
    for (const auto& box : boxes) draw_box(box);
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
        "style=\"max-width:100%;height:auto\">\n<title>PCI topology</title>\n<desc>{2}</desc>\n{3}"
        "<rect class=\"page\" width=\"{0}\" height=\"{1}\"/>\n<text class=\"big\" x=\"0\" y=\"18\">PCI "
        "topology</text>\n"
        "{4}</svg>\n",
        width, height, description(), styled ? fmt::format("<style>{}</style>\n", kStyle) : "", out_);
  }

 private:
  std::string description() const {
    std::size_t functions = 0;
    std::size_t used = 0;
    for (const auto& node : view_.nodes) {
      functions += node.function ? 1U : 0U;
      used += node.holder == iommu::Holder::process ? 1U : 0U;
    }
    return fmt::format(
        "{} PCI functions of this host by NUMA node, port and IOMMU group; {} in use by a VM or process.", functions,
        used);
  }

  /// Draws it below the title; returns its height.
  int legend(int width) {
    int x = 0;
    int y = kTitle;
    for (const auto& entry : kLegend) {
      const int wide = kSwatch + 6 + static_cast<int>(entry.text.size()) * 8 + 12;
      if (x != 0 && x + wide > width) {
        x = 0;
        y += kLine + 4;
      }
      rect(entry.style, x, y + 2, kSwatch, kSwatch);
      text("", x + kSwatch + 6, y + 11, entry.text);
      x += wide;
    }
    return y - kTitle + kLine + kPad;
  }

  void rect(std::string_view style, int x, int y, int width, int height) {
    out_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"2\"/>", style, x, y,
                        width, height);
  }

  void text(std::string_view style, int x, int baseline, std::string_view content) {
    const auto shown = style.empty() ? std::string{} : fmt::format(" class=\"{}\"", style);
    out_ += fmt::format("<text{} x=\"{}\" y=\"{}\">{}</text>", shown, x, baseline, escaped(content));
  }

  void lines(const Box& box) {
    int baseline = box.y + kPad / 2 + kFontSize;
    for (std::size_t i = 0; i < box.lines.size(); ++i, baseline += kLine) {
      const bool name = i != 0 && i + 2 == box.lines.size();
      const auto style = box.kind == Box::Kind::group ? "head of-group" : i == 0 ? "head" : name ? "name" : "";
      text(style, box.x + kPad, baseline, box.lines[i]);
    }
  }

  void draw_box(const Box& box) {
    out_ +=
        fmt::format("<g{}><title>{}</title>", box.kind == Box::Kind::area ? " class=\"area\"" : "", escaped(box.hint));
    const bool link = linked_ && box.kind == Box::Kind::card;
    if (link) out_ += fmt::format("<a href=\"#f-{}\">", escaped(view_.at(box.nodes.front()).id));
    switch (box.kind) {
      case Box::Kind::area: rect("area", box.x, box.y, box.width, box.height); break;
      case Box::Kind::group: rect("group", box.x, box.y, box.width, box.height); break;
      case Box::Kind::card:
      case Box::Kind::dots:
        rect("card", box.x, box.y, box.width, box.height);
        rect(box.style, box.x, box.y, 4, box.height);
    }
    lines(box);
    if (box.kind == Box::Kind::dots) marks(box);
    for (const auto& inside : box.inside) draw_box(inside);
    out_ += link ? "</a></g>\n" : "</g>\n";
  }

  /// A mark for each VF, below the lines.
  void marks(const Box& box) {
    const int in_row = std::max(1, (box.width - 2 * kPad) / kDot);
    const int top = box.y + kPad / 2 + static_cast<int>(box.lines.size()) * kLine + kPad / 2;
    for (std::size_t i = 0; i < box.nodes.size(); ++i) {
      const int at = static_cast<int>(i);
      out_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                          box.style, box.x + kPad + at % in_row * kDot, top + at / in_row * kDot, kDot - 3, kDot - 3,
                          escaped(fmt::format("{}  {}", view_.at(box.nodes[i]).id, view_.group(box.nodes[i]))));
    }
  }

  const TopologyView& view_;
  bool linked_;
  std::string out_;
};

}  // namespace

std::string_view drawing_style() { return kStyle; }

std::string to_svg(const TopologyView& view, int width) { return Svg{view, false}.draw(width, true); }

std::string to_svg_part(const TopologyView& view, int width) { return Svg{view, true}.draw(width, false); }

}  // namespace pcivm::cli
