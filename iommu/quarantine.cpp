// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/quarantine.hpp"

#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

constexpr std::string_view kDirectory = "/run/pcivm/quarantine";

}  // namespace

std::set<std::string> quarantined(const SysRoot& root) {
  const auto names = root.list(kDirectory).value_or(std::vector<std::string>{});
  return {names.begin(), names.end()};
}

std::optional<Quarantine> quarantine_of(const SysRoot& root, Bdf function) {
  const auto path = fmt::format("{}/{}", kDirectory, function.to_string());
  if (!root.exists(path)) return std::nullopt;
  Quarantine found;
  std::istringstream lines{root.read(path).value_or("")};
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const auto key = line.substr(0, equals);
    const auto value = line.substr(equals + 1);
    if (key == "reason") found.reason = value;
    if (key == "since") found.since = value;
    if (key == "identity") found.identity = value;
  }
  if (found.reason.empty()) found.reason = fmt::format("its record '{}' is damaged", path);
  return found;
}

}  // namespace pcivm::iommu
