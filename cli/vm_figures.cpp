// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_figures.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pcivm::cli {

namespace {

Json interrupts(const VmFigures& figures) {
  constexpr std::string_view kUsed{"vectorsUsed."};
  auto devices = Json::array();
  for (const auto& [name, value] : figures) {
    if (!name.starts_with(kUsed)) continue;
    const auto device = name.substr(kUsed.size());
    devices.push_back(
        {{"device", device}, {"vectors", value}, {"mostVectors", or_null(value_of(figures, "vectorsMost." + device))}});
  }
  return {{"devices", std::move(devices)},
          {"routes", or_null(value_of(figures, "routes.used"))},
          {"mostRoutes", or_null(value_of(figures, "routes.most"))}};
}

Json seconds(const VmFigures& figures, std::string_view name) {
  const auto value = value_of(figures, name);
  return value ? Json(static_cast<double>(*value) / 1e9) : Json(nullptr);
}

Json dma(const VmFigures& figures) {
  return {{"mappedBytes", or_null(value_of(figures, "dma.mappedBytes"))},
          {"runs", or_null(value_of(figures, "dma.runs"))},
          {"hugeRunBytes", or_null(value_of(figures, "dma.hugeRunBytes"))},
          {"peerBytes", or_null(value_of(figures, "dma.peerBytes"))},
          {"populateSeconds", seconds(figures, "dma.populateNs")},
          {"mapSeconds", seconds(figures, "dma.mapNs")}};
}

Json ports_of(const std::vector<std::string>& names, const VmFigures& figures) {
  auto ports = Json::array();
  for (std::size_t index = 0; index < names.size(); ++index) {
    const auto value = [&](std::string_view figure) { return value_of(figures, fmt::format("{}.{}", figure, index)); };
    ports.push_back({{"name", names[index]},
                     {"guestOpen", value("portOpen").value_or(0) != 0},
                     {"toHostBytes", or_null(value("portToHost"))},
                     {"toGuestBytes", or_null(value("portToGuest"))},
                     {"droppedBytes", or_null(value("portDropped"))}});
  }
  return ports;
}

}  // namespace

std::optional<std::uint64_t> value_of(const VmFigures& figures, std::string_view name) {
  const auto found = std::ranges::find(figures, name, &VmFigures::value_type::first);
  return found == figures.end() ? std::nullopt : std::optional{found->second};
}

Json figures_document(const std::string& vm, const std::vector<std::string>& ports, bool answered,
                      const VmFigures& figures) {
  return {{"apiVersion", "pcivm/v1"},
          {"kind", "VmFigures"},
          {"name", vm},
          {"interrupts", answered ? interrupts(figures) : Json(nullptr)},
          {"dma", answered ? dma(figures) : Json(nullptr)},
          {"ports", answered ? ports_of(ports, figures) : Json(nullptr)}};
}

}  // namespace pcivm::cli
