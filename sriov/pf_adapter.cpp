// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/pf_adapter.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest.hpp"

namespace pcivm::sriov {

std::span<const AdapterKind> builtin_adapters() {
  static const std::vector<AdapterKind> kinds{};
  return kinds;
}

const AdapterKind* adapter_for(const SysRoot& root, std::span<const AdapterKind> kinds, Bdf physical) {
  const auto found = std::ranges::find_if(kinds, [&](const auto& kind) { return kind.matches(root, physical); });
  return found == kinds.end() ? nullptr : &*found;
}

Result<void> check_settings(const AdapterKind* kind, Bdf physical, const Settings& settings) {
  if (settings.empty()) return {};
  const auto address = physical.to_string();
  if (kind == nullptr) {
    return fail(Error::make(Errc::invalid,
                            fmt::format("{} takes no settings, but '{}' is given", address, settings.begin()->first))
                    .coded("vf.setting")
                    .advise("--set is for NVMe drives and GPUs; VFs of a network adapter: pcivm vf set"));
  }
  std::vector<std::string> known;
  for (const auto& setting : kind->settings) known.emplace_back(setting.key);
  for (const auto& [key, value] : settings) {
    if (std::ranges::find(known, key) != known.end()) continue;
    const auto meant = nearest(key, known);
    return fail(Error::make(Errc::invalid, fmt::format("{} has no setting '{}' ({})", address, key, kind->name))
                    .coded("vf.setting")
                    .advise(meant.empty()
                                ? fmt::format("its settings: {}", fmt::join(known, ", "))
                                : fmt::format("did you mean {}? its settings: {}", meant, fmt::join(known, ", "))));
  }
  return {};
}

std::string to_string(const Settings& settings) {
  std::string text;
  for (const auto& [key, value] : settings) text += fmt::format("{}{}={}", text.empty() ? "" : ", ", key, value);
  return text;
}

}  // namespace pcivm::sriov
