// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/quarantine.hpp"

#include <sstream>

#include <fmt/format.h>

namespace pcivm::iommu {

std::optional<Quarantine> quarantine_of(const SysRoot& root, Bdf function) {
  const auto path = fmt::format("/run/pcivm/quarantine/{}", function.to_string());
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
