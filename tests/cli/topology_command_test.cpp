// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm topology in all its forms, and the arithmetic of its drawings.
#include <unistd.h>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli/topology_layout.hpp"
#include "tests/cli/run_command.hpp"
#include "tests/support/topology_fixture.hpp"

namespace pcivm::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

test::Outcome draw(const test::TwoSockets& host, const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"topology", "--root", host.temp.path("/").string()};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return test::run_command(arguments);
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(TopologyCommand, TheTreeNamesOwnersAndFoldsVfs) {
  const test::TwoSockets host;
  const auto outcome = draw(host, {});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(StartsWith("ADDRESS"), HasSubstr("socket 1, NUMA node 1"), HasSubstr("VM web1\n"),
                    HasSubstr("60 VFs"), HasSubstr("34-93"), Not(HasSubstr("0000:81:05.1 "))));
  EXPECT_EQ(draw(host, {"-o", "tree"}).out, outcome.out);
  EXPECT_THAT(draw(host, {"-o", "wide"}).out, HasSubstr("0000:81:05.1"));
}

TEST(TopologyCommand, JsonIsFlatWithParents) {
  const test::TwoSockets host;
  const auto json = nlohmann::json::parse(draw(host, {"-o", "json"}).out);
  EXPECT_EQ(json["kind"], "Topology");
  EXPECT_EQ(json["items"].size(), 4U + 76U);
  EXPECT_EQ(json["items"][1]["parent"], "node0");
  EXPECT_EQ(json["items"].back()["parent"], "0000:81:00.0");
}

TEST(TopologyCommand, DotHasClustersForSocketsSwitchesAndGroups) {
  const test::TwoSockets host;
  const auto dot = draw(host, {"-o", "dot"}).out;
  EXPECT_THAT(dot, AllOf(HasSubstr("label=\"socket 0, NUMA node 0\""), HasSubstr("label=\"switch\""),
                         HasSubstr("label=\"IOMMU group 2\""), HasSubstr("\"0000:80:01.0\" -> \"0000:81:00.0\""),
                         HasSubstr("60 VFs: ")));
  if (::access("/usr/bin/dot", X_OK) != 0) GTEST_SKIP() << "graphviz is not installed";
  host.temp.file("/topology.dot", dot);
  EXPECT_EQ(std::system(fmt::format("dot -Tsvg -o /dev/null {}", host.temp.path("/topology.dot").string()).c_str()), 0);
}

TEST(TopologyCommand, SvgStandsAloneAndSaysInWordsWhatColoursSay) {
  const test::TwoSockets host;
  const auto svg = draw(host, {"-o", "svg"}).out;
  EXPECT_THAT(svg,
              AllOf(StartsWith("<svg "), HasSubstr("<title>PCI topology</title>"), HasSubstr("<desc>76 PCI functions"),
                    HasSubstr("prefers-color-scheme:dark"), HasSubstr("in use: VM web1 (pid 812)"),
                    HasSubstr("IOMMU group 5: 4 together"), HasSubstr("no driver"), Not(HasSubstr("href"))));
  EXPECT_EQ(count(svg, "<g"), count(svg, "</g>"));
}

TEST(TopologyCommand, HtmlIsOnePageForAScreenAndAPhone) {
  const test::TwoSockets host;
  const auto html = draw(host, {"-o", "html"}).out;
  EXPECT_THAT(html, AllOf(StartsWith("<!DOCTYPE html>"), HasSubstr("name=\"viewport\""), HasSubstr("class=\"narrow\""),
                          HasSubstr("<a href=\"#f-0000:81:00.0\">"), HasSubstr("<tr id=\"f-0000:81:00.0\">"),
                          HasSubstr("ens8&lt;&amp;&gt;"), Not(HasSubstr("ens8<")), Not(HasSubstr("src="))));
}

TEST(TopologyCommand, OtherCommandsHaveNoPictures) {
  const test::TwoSockets host;
  EXPECT_EQ(test::run_command({"device", "list", "-o", "svg", "--root", host.temp.path("/").string()}).code, 2);
  EXPECT_EQ(draw(host, {"-o", "png"}).code, 2);
}

TEST(Escaped, LeavesNoMarkupAndOneCharacterForEach) {
  EXPECT_EQ(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
  EXPECT_EQ(escaped("caf\xc3\xa9\x1b"), "caf??");
}

/// Boxes stand beside each other, inside the one around them, and their text is within them.
void expect_apart(const std::vector<Box>& boxes, int left, int right) {
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const auto& box = boxes[i];
    EXPECT_GE(box.x, left);
    EXPECT_LE(box.x + box.width, right);
    for (const auto& line : box.lines) EXPECT_LE(static_cast<int>(line.size()) * 15 / 2, box.width - 2 * kPad) << line;
    for (std::size_t j = i + 1; j < boxes.size(); ++j) {
      const auto& other = boxes[j];
      const bool apart = other.x >= box.x + box.width || other.y >= box.y + box.height ||
                         other.y + other.height <= box.y || other.x + other.width <= box.x;
      EXPECT_TRUE(apart) << box.hint << " and " << other.hint;
    }
    for (const auto& inside : box.inside) {
      EXPECT_GE(inside.y, box.y + kLine) << inside.hint;
      EXPECT_LE(inside.y + inside.height, box.y + box.height) << inside.hint;
    }
    expect_apart(box.inside, box.x, box.x + box.width);
  }
}

TEST(TopologyLayout, NothingOverlapsAtAnyWidth) {
  const test::TwoSockets host;
  const auto nodes = iommu::read_topology(host.temp.root()).value();
  const auto names = iommu::PciNames::open();
  for (const int width : {366, 600, 1240, 3000}) expect_apart(lay_out({nodes, names}, width, 60), 0, width);
}

TEST(TopologyLayout, FourThousandFunctionsAreDrawn) {
  const auto nodes = iommu::build_topology(test::many_functions(64), {});
  ASSERT_GE(nodes.size(), 4096U);
  const auto names = iommu::PciNames::open();
  const TopologyView view{nodes, names};
  expect_apart(lay_out(view, 1240, 60), 0, 1240);
  const auto svg = to_svg(view, 1240);
  EXPECT_EQ(count(svg, ">64 VFs, groups 100 to 163<"), 64U);
  EXPECT_LT(svg.size(), 1U << 20U);
  EXPECT_EQ(count(to_dot(view), "64 VFs: "), 64U);
}

}  // namespace
}  // namespace pcivm::cli
