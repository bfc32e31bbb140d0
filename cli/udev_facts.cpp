// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/udev_facts.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/config_files.hpp"
#include "cli/host_change.hpp"
#include "sriov/host_match.hpp"

namespace pcivm::cli {

namespace {

using sriov::FunctionState;
using udev::RuledVf;
using udev::WholeFunction;

void add_whole(udev::RuleFacts& facts, const std::string& device, const sriov::PassthroughEntry& entry,
               const FunctionState& function) {
  facts.functions.push_back({.device = device,
                             .function = function.address,
                             .vendor_id = function.id.vendor,
                             .device_id = function.id.device,
                             .early_driver = entry.early ? entry.bind : std::string{}});
}

void add_passthrough(udev::RuleFacts& facts, const sriov::DeviceEntry& device, const FunctionState& function,
                     const sriov::HostState& state) {
  const auto& entry = *device.passthrough;
  for (const auto& other : state.functions) {
    const bool member = entry.whole_group && function.iommu_group && other.iommu_group == function.iommu_group;
    if (member || other.address == function.address) add_whole(facts, device.name, entry, other);
  }
}

/// PCI Express SR-IOV 2.1.2: routing ids from the PF's on, by First VF Offset and VF Stride.
std::optional<Bdf> future_vf(const SysRoot& root, Bdf pf, unsigned index) {
  const auto number = [&](std::string_view file) {
    const auto text = root.read(fmt::format("/sys/bus/pci/devices/{}/{}", pf.to_string(), file));
    return parse_decimal<unsigned>(text.value_or(""), 0xffff);
  };
  const auto offset = number("sriov_offset");
  const auto stride = number("sriov_stride");
  // 0 for either: the PF tells only once VFs are enabled.
  if (!offset || !stride || *offset == 0 || (*stride == 0 && index > 0)) return std::nullopt;
  const auto id = std::uint64_t{pf.routing_id()} + *offset + std::uint64_t{index} * *stride;
  if (id > 0xffff) return std::nullopt;
  return Bdf{.domain = pf.domain,
             .bus = static_cast<std::uint8_t>(id >> 8U),
             .device = static_cast<std::uint8_t>(id >> 3U & 0x1fU),
             .function = static_cast<std::uint8_t>(id & 7U)};
}

struct VfWords {
  std::optional<std::string> bind;
  std::string name;
};

VfWords words_of(const sriov::SriovEntry& entry, unsigned index) {
  VfWords words{.bind = entry.vf_bind, .name = {}};
  for (const auto& vf : entry.vfs) {
    if (index < vf.first || index > vf.last) continue;
    if (vf.bind) words.bind = vf.bind;
    words.name = vf.name.value_or("");
  }
  return words;
}

void add_vfs(const SysRoot& root, udev::RuleFacts& facts, const sriov::DeviceEntry& device,
             const FunctionState& function) {
  const auto& present = function.pf->vfs;
  const auto count = device.sriov->num_vfs.value_or(static_cast<unsigned>(present.size()));
  for (unsigned index = 0; index < count; ++index) {
    const auto words = words_of(*device.sriov, index);
    const bool for_guests = words.bind && *words.bind != "host";
    if (!for_guests && words.name.empty()) continue;
    const auto address =
        index < present.size() ? std::optional{present[index].address} : future_vf(root, function.address, index);
    if (!address) continue;
    facts.vfs.push_back({.device = device.name, .function = *address, .for_guests = for_guests, .name = words.name});
  }
}

}  // namespace

udev::RuleFacts rule_facts(const SysRoot& root, const sriov::HostConfig& config, const sriov::HostState& state,
                           const std::function<void(std::string_view)>& note) {
  udev::RuleFacts facts;
  const auto matches = sriov::match_devices(config, state);
  for (const auto& problem : matches.problems) {
    if (note) note(fmt::format("no rules for {}: {}", problem.device, problem.text));
  }
  for (const auto& resolved : matches.devices) {
    const auto device = std::ranges::find(config.devices, resolved.device, &sriov::DeviceEntry::name);
    if (!resolved.function || device == config.devices.end()) continue;
    const auto function = std::ranges::find(state.functions, *resolved.function, &FunctionState::address);
    if (function == state.functions.end()) continue;
    if (device->passthrough) add_passthrough(facts, *device, *function, state);
    if (device->sriov && function->pf) add_vfs(root, facts, *device, *function);
  }
  return facts;
}

Result<std::vector<RuleFile>> rule_files(Context& context, const std::function<void(std::string_view)>& note) {
  const auto& root = context.root();
  std::vector<RuleFile> files{{.path = udev::kEarlyRulesFile}, {.path = udev::kHostRulesFile}};
  for (auto& file : files) {
    if (!root.exists(file.path)) continue;
    file.found = TRY(root.read(file.path));
    if (!file.found.empty()) file.found += '\n';  // which read() takes off
  }
  const auto config = load_host_config(root);
  if (!config && config.error().code() == "config.none") return files;
  if (!config) return std::unexpected(config.error());
  const auto host = host_of(context);
  const auto port = vf_port(context);
  const auto state = TRY(sriov::read_host(host, port.get()));
  const auto facts = rule_facts(root, *config, state, note);
  files[0].wanted = TRY(udev::early_rules(facts));
  files[1].wanted = TRY(udev::host_rules(facts));
  return files;
}

}  // namespace pcivm::cli
