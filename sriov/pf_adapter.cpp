// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/pf_adapter.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/ioctl.hpp"
#include "base/log.hpp"
#include "base/nearest.hpp"
#include "sriov/gpu_adapter.hpp"
#include "sriov/nvme_adapter.hpp"

namespace pcivm::sriov {

std::span<const AdapterKind> builtin_adapters() {
  static const auto kinds = [] {
    std::vector<AdapterKind> all{nvme_adapter(system_ioctl()), gim_adapter()};
    for (const auto& layout : gpu_layouts()) all.push_back(gpu_adapter(layout));
    return all;
  }();
  return kinds;
}

const AdapterKind* adapter_for(const SysRoot& root, std::span<const AdapterKind> kinds, Bdf physical) {
  const auto found = std::ranges::find_if(kinds, [&](const auto& kind) { return kind.matches(root, physical); });
  return found == kinds.end() ? nullptr : &*found;
}

AdapterReader reader_for(const vfio::Host& host, std::span<const AdapterKind> kinds, Bdf physical) {
  const auto* kind = adapter_for(host.root, kinds, physical);
  if (kind == nullptr) return {};
  auto made = kind->make({.host = host, .physical = physical});
  if (!made) {
    log::debug("{}", made.error().text());
    return {};
  }
  return {.kind = kind->name, .adapter = std::move(*made)};
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
