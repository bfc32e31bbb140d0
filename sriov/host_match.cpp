// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_match.hpp"

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/group.hpp"
#include "sriov/host_expect.hpp"

namespace pcivm::sriov {

namespace {

/// One thing that a match names.
struct Key {
  std::string text;  ///< "serial ABC"
  std::function<bool(const FunctionState&)> fits;
};

// As lspci prints a Device Serial Number, or in capitals: the same number.
bool same_text(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other,
                            [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

std::vector<Key> hardware_keys(const DeviceMatch& match) {
  std::vector<Key> keys;
  if (const auto& mac = match.permanent_mac) {
    keys.push_back(
        {"permanentMac " + mac->to_string(), [&mac](const auto& each) { return each.permanent_mac == mac; }});
  }
  if (const auto& guid = match.permanent_guid) {
    keys.push_back(
        {"permanentGuid " + guid->to_string(), [&guid](const auto& each) { return each.permanent_guid == guid; }});
  }
  if (const auto& serial = match.serial) {
    keys.push_back({"serial " + *serial, [&serial](const FunctionState& each) {
                      return std::ranges::any_of(each.serials,
                                                 [&](const auto& own) { return same_text(own, *serial); });
                    }});
  }
  if (const auto& serial = match.nvme_serial) {
    keys.push_back({"nvme.serial " + *serial, [&serial](const auto& each) { return each.nvme_serial == *serial; }});
  }
  if (const auto& nqn = match.nvme_nqn) {
    keys.push_back({"nvme.nqn " + *nqn, [&nqn](const auto& each) { return each.nvme_nqn == *nqn; }});
  }
  return keys;
}

std::vector<Key> keys_of(const DeviceMatch& match) {
  auto keys = hardware_keys(match);
  if (const auto& slot = match.slot) {
    keys.push_back({"slot " + *slot, [&slot](const auto& each) { return each.slot == *slot; }});
  }
  if (const auto& path = match.path) {
    keys.push_back({"path " + *path, [&path](const auto& each) { return each.path == *path; }});
  }
  if (const auto& address = match.address) {
    keys.push_back({"bdf " + address->to_string(), [&address](const auto& each) { return each.address == *address; }});
  }
  if (const auto& function = match.function) {
    keys.push_back({fmt::format("function {}", *function),
                    [&function](const auto& each) { return each.address.function == *function; }});
  }
  return keys;
}

std::string names_of(const std::vector<const FunctionState*>& functions) {
  std::vector<std::string> names;
  for (const auto* each : functions) names.push_back(each->address.to_string());
  return fmt::to_string(fmt::join(names, ", "));
}

std::vector<const FunctionState*> fitting(const HostState& state, const std::vector<Key>& keys) {
  std::vector<const FunctionState*> found;
  for (const auto& each : state.functions) {
    if (std::ranges::all_of(keys, [&](const Key& key) { return key.fits(each); })) found.push_back(&each);
  }
  return found;
}

// "serial ABC is 0000:02:00.0; bdf 0000:01:00.0 is 0000:01:00.0"; of a key that many fit only their number.
std::string each_alone(const HostState& state, const std::vector<Key>& keys) {
  constexpr std::size_t kNamed{4};
  std::vector<std::string> parts;
  for (const auto& key : keys) {
    const auto found = fitting(state, {key});
    if (found.empty()) {
      parts.push_back(fmt::format("no function has {}", key.text));
    } else if (found.size() <= kNamed) {
      parts.push_back(fmt::format("{} is {}", key.text, names_of(found)));
    } else {
      parts.push_back(fmt::format("{} is that of {} functions", key.text, found.size()));
    }
  }
  return fmt::to_string(fmt::join(parts, "; "));
}

bool nobody_tells(const HostState& state, const DeviceMatch& match) {
  if (!match.permanent_mac && !match.permanent_guid && !match.nvme_serial && !match.nvme_nqn) return false;
  return std::ranges::any_of(state.functions,
                             [](const FunctionState& each) { return iommu::leaves_dma_to_user(each.driver.driver); });
}

PlanProblem no_match(const DeviceEntry& device, const HostState& state, const std::vector<Key>& keys) {
  PlanProblem problem{.device = device.name, .place = device.place, .code = "no-match"};
  problem.text = fmt::format("no function of this host is {}: {}", device.name,
                             keys.empty() ? "match names nothing" : each_alone(state, keys));
  problem.fix = nobody_tells(state, device.match)
                    ? "a function that is given away shows only serial, slot, path and bdf: match it by one of these"
                    : "pcivm device list; is the card there, and its driver loaded?";
  return problem;
}

std::optional<PlanProblem> vf_instead(const DeviceEntry& device, const HostState& state) {
  const auto named = [&](Bdf address) {
    return device.match.address == address || device.match.path == "pci-" + address.to_string();
  };
  for (const auto& function : state.functions) {
    if (!function.pf) continue;
    const auto& vfs = function.pf->vfs;
    const auto vf = std::ranges::find_if(vfs, [&](const VfState& each) { return named(each.address); });
    if (vf == vfs.end()) continue;
    return PlanProblem{
        .device = device.name,
        .place = device.place,
        .code = "is-vf",
        .text = fmt::format("{} is {}, VF {} of {}, and wanted is a function of its own", device.name,
                            vf->address.to_string(), vf - vfs.begin(), function.address.to_string()),
        .fix = fmt::format("describe it below sriov.vfs of the device that is {}", function.address.to_string())};
  }
  return std::nullopt;
}

PlanProblem ambiguous(const DeviceEntry& device, const std::vector<const FunctionState*>& found) {
  return {.device = device.name,
          .place = device.place,
          .code = "ambiguous",
          .text = fmt::format("{} functions fit what {} is matched by ({}), wanted exactly one: {}", found.size(),
                              device.name, to_string(device.match), names_of(found)),
          .fix = "name one more thing: serial, permanentMac, function or bdf"};
}

// Both are refused: which of them is meant, nobody can know.
void refuse_shared(const HostConfig& config, Matches& matches) {
  std::map<Bdf, std::vector<std::size_t>> by_function;
  for (std::size_t index = 0; index < matches.devices.size(); ++index) {
    if (const auto& function = matches.devices[index].function) by_function[*function].push_back(index);
  }
  for (const auto& [function, indexes] : by_function) {
    if (indexes.size() < 2) continue;
    for (const auto index : indexes) {
      const auto& other = config.devices[index == indexes.front() ? indexes[1] : indexes.front()];
      const auto& device = config.devices[index];
      matches.devices[index].function.reset();
      matches.problems.push_back(
          {.device = device.name,
           .place = device.place,
           .code = "same-function",
           .text = fmt::format("{} is {}, and so is {} ({})", device.name, function.to_string(), other.name,
                               to_string(other.place)),
           .fix = "a function is described once: join the two, or match them by what tells them apart"});
    }
  }
}

}  // namespace

Matches match_devices(const HostConfig& config, const HostState& state) {
  Matches matches;
  for (const auto& device : config.devices) {
    matches.devices.push_back({.device = device.name});
    const auto keys = keys_of(device.match);
    const auto found = keys.empty() ? std::vector<const FunctionState*>{} : fitting(state, keys);
    if (found.empty()) {
      const auto vf = vf_instead(device, state);
      matches.problems.push_back(vf ? *vf : no_match(device, state, keys));
    } else if (found.size() > 1) {
      matches.problems.push_back(ambiguous(device, found));
    } else if (auto refused = unexpected(device, *found.front())) {
      matches.problems.push_back(std::move(*refused));
    } else {
      matches.devices.back().function = found.front()->address;
    }
  }
  refuse_shared(config, matches);
  return matches;
}

}  // namespace pcivm::sriov
