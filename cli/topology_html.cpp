// SPDX-License-Identifier: GPL-2.0-or-later
// A topology as one page: the drawing, wide for a screen and narrow for a phone, and a table of all functions. A card
// links to its row, which is then marked; no script.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "cli/device_facts.hpp"
#include "cli/topology_view.hpp"

namespace pcivm::cli {

namespace {

constexpr int kWide = 1240;
constexpr int kNarrow = 366;  // on a phone of 390 pixels, less the margins

constexpr std::string_view kPageStyle = R"(
:root{color-scheme:light dark}
body{margin:12px;font:14px/1.4 system-ui,"DejaVu Sans",sans-serif;background:#ffffff;color:#1c2733}
svg{display:block}.narrow{display:none}h2{font-size:16px;margin:24px 0 8px}
table{border-collapse:collapse;width:100%}th{text-align:left}th,td{padding:4px 8px;border-bottom:1px solid #c4ccd4;vertical-align:top;overflow-wrap:anywhere}
td:first-child{font-family:ui-monospace,"DejaVu Sans Mono",monospace;white-space:nowrap}td:nth-child(4){white-space:nowrap}
tr:target{background:#fff3c4;outline:2px solid #d9730d}
.key{display:inline-block;width:10px;height:10px;margin-right:6px}
.key.host{background:#2f72c4}.key.vfio{background:#2b9348}.key.process{background:#d9730d}.key.nobody{background:#8d99a5}.key.port{background:#c4ccd4}
@media (prefers-color-scheme:dark){body{background:#12171c;color:#e4e9ee}th,td{border-color:#3b4651}tr:target{background:#4a3a10}}
@media (max-width:900px){.wide{display:none}.narrow{display:block}
thead{display:none}tr{display:block;border-bottom:1px solid #8d99a5;padding:6px 0}
td{display:block;border:0;padding:1px 0}td:empty{display:none}td[data-label]::before{content:attr(data-label) ": ";color:#76828e}}
)";

std::string cell(std::string_view label, std::string_view text) {
  return fmt::format("<td data-label=\"{}\">{}</td>", label, escaped(text));
}

std::string row(const TopologyView& view, std::size_t index) {
  const auto& node = view.at(index);
  const auto& parent = node.parent ? view.at(*node.parent) : node;
  const auto below = parent.function ? parent.id : parent.label;
  return fmt::format(
      "<tr id=\"f-{0}\"><td>{0}</td>{1}{2}{3}<td data-label=\"State\"><span class=\"key "
      "{4}\"></span>{5}</td>{6}</tr>\n",
      escaped(node.id), cell("What", to_string(node.place)), cell("Name", full_name(view.names, *node.function)),
      cell("IOMMU", view.group(index)), style_of(node), escaped(view.state(index)), cell("Behind", below));
}

}  // namespace

std::string to_html(const TopologyView& view) {
  std::vector<std::size_t> functions;
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    if (view.at(i).function) functions.push_back(i);
  }
  std::string rows;
  for (const auto index : functions) rows += row(view, index);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>PCI topology</title>\n"
      "<style>{}{}</style>\n</head>\n<body>\n<div class=\"wide\">\n{}</div>\n<div class=\"narrow\">\n{}</div>\n"
      "<h2>All "
      "functions</h2>\n<table>\n<thead><tr><th>Address</th><th>What</th><th>Name</th><th>IOMMU</th><th>State</th>"
      "<th>Behind</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</body>\n</html>\n",
      drawing_style(), kPageStyle, to_svg_part(view, kWide), to_svg_part(view, kNarrow), rows);
}

}  // namespace pcivm::cli
