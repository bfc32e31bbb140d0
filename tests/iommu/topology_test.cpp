// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/topology.hpp"

#include <algorithm>

#include <gmock/gmock.h>

#include "tests/support/topology_fixture.hpp"

namespace pcivm::iommu {
namespace {

using test::placed;
using testing::ElementsAre;
using testing::IsEmpty;

std::string describe(const Topology& topology, const TopologyNode& node) {
  std::string text = node.parent ? topology.at(*node.parent).id + " > " : "";
  return text + fmt::format("{} ({})", node.id, to_string(node.place));
}

std::vector<std::string> describe(const Topology& topology) {
  std::vector<std::string> lines;
  for (const auto& node : topology) lines.push_back(describe(topology, node));
  return lines;
}

const TopologyNode& node_of(const Topology& topology, std::string_view id) {
  return *std::ranges::find(topology, id, &TopologyNode::id);
}

TEST(TopologyTest, NothingGivesNothing) { EXPECT_THAT(build_topology({}, {}), IsEmpty()); }

TEST(TopologyTest, PortsAreToldFromTheirNeighbours) {
  const auto made = build_topology(
      {
          placed({"pci0000:00", "0000:00:01.0"}, 0x060400, "pcieport", 1),
          placed({"pci0000:00", "0000:00:01.0", "0000:01:00.0"}, 0x060400, "pcieport", 2),
          placed({"pci0000:00", "0000:00:01.0", "0000:01:00.0", "0000:02:00.0"}, 0x060400, "pcieport", 3),
          placed({"pci0000:00", "0000:00:01.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"}, 0x010802, "nvme", 4),
      },
      {{.host_bridge = "pci0000:00", .id = "node0", .label = "NUMA node 0"}});
  EXPECT_THAT(describe(made),
              ElementsAre("node0 (locality)", "node0 > pci0000:00 (host bridge)",
                          "pci0000:00 > 0000:00:01.0 (root port)", "0000:00:01.0 > 0000:01:00.0 (upstream port)",
                          "0000:01:00.0 > 0000:02:00.0 (downstream port)", "0000:02:00.0 > 0000:03:00.0 (function)"));
}

TEST(TopologyTest, VfsHangBelowTheirPf) {
  auto functions = test::many_functions(1);
  functions.resize(4);
  EXPECT_THAT(describe(build_topology(functions, {})),
              ElementsAre("pci0000:00 (host bridge)", "pci0000:00 > 0000:00:01.0 (root port)",
                          "0000:00:01.0 > 0000:01:00.0 (function)", "0000:01:00.0 > 0000:01:10.0 (VF)",
                          "0000:01:00.0 > 0000:01:10.1 (VF)"));
}

TEST(TopologyTest, AVfWithoutItsPfStaysOnItsBus) {
  auto functions = test::many_functions(1);
  functions.erase(functions.begin() + 1);
  functions.resize(2);
  EXPECT_EQ(describe(build_topology(functions, {})).back(), "0000:00:01.0 > 0000:01:10.0 (VF)");
}

TEST(TopologyTest, ADomainBehindAFunctionHangsBelowIt) {
  const auto made =
      build_topology({placed({"pci0000:00", "0000:00:0e.0"}, 0x010400, "vmd", 1),
                      placed({"pci0000:00", "0000:00:0e.0", "pci10000:e0", "10000:e0:06.0"}, 0x060400, "pcieport", 2)},
                     {});
  EXPECT_THAT(describe(made),
              ElementsAre("pci0000:00 (host bridge)", "pci0000:00 > 0000:00:0e.0 (function)",
                          "0000:00:0e.0 > pci10000:e0 (host bridge)", "pci10000:e0 > 10000:e0:06.0 (root port)"));
}

TEST(TopologyTest, EveryFunctionIsThereOnce) {
  const auto functions = test::many_functions(16);
  const auto made = build_topology(functions, {});
  EXPECT_EQ(std::ranges::count_if(made, [](const auto& node) { return node.function.has_value(); }),
            static_cast<std::ptrdiff_t>(functions.size()));
  for (std::size_t i = 0; i < made.size(); ++i) {
    for (const auto child : made[i].children) EXPECT_EQ(made[child].parent, i);
    EXPECT_TRUE(!made[i].parent || *made[i].parent < i);
  }
}

TEST(TopologyTest, AHostIsReadWithItsSocketsAndOwners) {
  const test::TwoSockets host;
  const auto made = read_topology(host.temp.root()).value();
  EXPECT_EQ(made.front().label, "socket 0, NUMA node 0");
  EXPECT_EQ(node_of(made, "node1").label, "socket 1, NUMA node 1");
  EXPECT_EQ(node_of(made, "0000:03:00.0").place, Place::upstream_port);
  EXPECT_EQ(node_of(made, "0000:05:00.0").owner, "nvme0n1");
  EXPECT_EQ(node_of(made, "0000:81:00.0").children.size(), 64U);
  const auto& given = node_of(made, "0000:81:02.3");
  EXPECT_EQ(given.holder, Holder::process);
  EXPECT_EQ(given.owner, "VM web1 (pid 812)");
  EXPECT_EQ(node_of(made, "0000:81:02.4").holder, Holder::vfio);
}

}  // namespace
}  // namespace pcivm::iommu
