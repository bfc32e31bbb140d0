// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_timeline.hpp"

namespace pcivm::cli {

Json timeline_json(std::string_view name, const vmm::TimelineReport& report) {
  auto phases = Json::array();
  const auto start = report.phases.empty() ? 0 : report.phases.front().second;
  for (const auto& [phase, stamp] : report.phases) {
    phases.push_back({{"phase", phase}, {"monotonicNs", stamp}, {"sinceExecNs", stamp - start}});
  }
  auto ioctls = Json::object();
  for (const auto& [request, count] : report.ioctls) ioctls[request] = count;
  Json exits{{"total", report.exits.total()}};
  for (const auto& [kind, count] : vmm::named_exits(report.exits)) exits[std::string{kind}] = count;
  const auto share = report.mapped_bytes == 0
                         ? Json(nullptr)
                         : Json(static_cast<double>(report.huge_run_bytes) / static_cast<double>(report.mapped_bytes));
  return {{"apiVersion", "pcivm/v1"},
          {"kind", "VmTimeline"},
          {"name", name},
          {"phases", std::move(phases)},
          {"exits", std::move(exits)},
          {"ioctls", std::move(ioctls)},
          {"dma",
           {{"mappedBytes", report.mapped_bytes},
            {"runs", report.dma_runs},
            {"hugeRunShare", share},
            {"populateNs", report.populate_ns},
            {"mapNs", report.map_ns}}},
          {"boots", report.boots},
          {"deviceResets", report.device_resets}};
}

}  // namespace pcivm::cli
