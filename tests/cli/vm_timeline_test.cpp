// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_timeline.hpp"

#include <gtest/gtest.h>

namespace pcivm::cli {
namespace {

TEST(VmTimeline, CountsFromExec) {
  const auto json = timeline_json("g", {.phases = {{"exec", 1000}, {"vmCreated", 1500}}, .boots = 1});
  EXPECT_EQ(json["phases"][1]["phase"], "vmCreated");
  EXPECT_EQ(json["phases"][1]["monotonicNs"], 1500);
  EXPECT_EQ(json["phases"][1]["sinceExecNs"], 500);
  EXPECT_TRUE(json["dma"]["hugeRunShare"].is_null());
}

TEST(VmTimeline, SumsTheExits) {
  vmm::TimelineReport report;
  report.exits = {.port_in = 2, .port_out = 3, .mmio_read = 5};
  report.mapped_bytes = 400;
  report.huge_run_bytes = 100;
  report.populate_ns = 7;
  report.map_ns = 9;
  const auto json = timeline_json("g", report);
  EXPECT_EQ(json["exits"]["total"], 10);
  EXPECT_EQ(json["dma"]["hugeRunShare"], 0.25);
  EXPECT_EQ(json["dma"]["populateNs"], 7);
  EXPECT_EQ(json["dma"]["mapNs"], 9);
}

}  // namespace
}  // namespace pcivm::cli
