// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/port_function.hpp"

#include <linux/devlink.h>

#include <algorithm>

#include <fmt/format.h>

#include "sriov/eswitch.hpp"

namespace pcivm::sriov {

namespace {

constexpr std::uint64_t kBytesPerMegabit{125'000};

std::uint32_t megabits(const std::optional<std::uint64_t>& bytes) {
  return static_cast<std::uint32_t>(bytes.value_or(0) / kBytesPerMegabit);
}

std::optional<bool> cap(const DevlinkMessage& port, std::uint32_t bit) {
  if (!port.caps || (port.caps->named & bit) == 0) return std::nullopt;
  return (port.caps->value & bit) != 0;
}

void request_cap(DevlinkMessage& request, std::uint32_t bit, bool on) {
  request.caps = FunctionCaps{.value = on ? bit : 0, .named = bit};
}

}  // namespace

std::optional<PortFunctions> PortFunctions::of(VfPort& port, Bdf physical) {
  const auto eswitch = read_eswitch(port, physical);
  if (!eswitch || eswitch->mode != EswitchMode::switchdev) return std::nullopt;
  PortFunctions functions{port, physical};
  if (!functions.refresh()) return std::nullopt;
  return functions;
}

Result<void> PortFunctions::refresh() {
  auto ports = TRY(port_->devlink({.command = DEVLINK_CMD_PORT_GET, .dump = true}));
  // Kernels and drivers without rate objects have none, which is no failure.
  const auto rates =
      port_->devlink({.command = DEVLINK_CMD_RATE_GET, .dump = true}).value_or(std::vector<DevlinkMessage>{});
  functions_.clear();
  for (auto& each : ports) {
    const bool of_vf = each.flavour == static_cast<std::uint16_t>(PortFlavour::pci_vf);
    if (each.device != physical_ || !of_vf || !each.vf_number || !each.port) continue;
    const auto is_leaf = [&](const DevlinkMessage& rate) { return rate.device == physical_ && rate.port == each.port; };
    const auto leaf = std::ranges::find_if(rates, is_leaf);
    Function function{.port = std::move(each)};
    if (leaf != rates.end()) function.rate = *leaf;
    const unsigned index = *function.port.vf_number;
    functions_.insert_or_assign(index, std::move(function));
  }
  return {};
}

void PortFunctions::tell(std::vector<VfAttributes>& vfs) const {
  for (const auto& [index, function] : functions_) {
    if (index >= vfs.size()) continue;
    auto& vf = vfs[index];
    if (function.port.hw_addr) vf.mac = function.port.hw_addr;
    vf.roce = cap(function.port, FunctionCaps::kRoce);
    vf.migratable = cap(function.port, FunctionCaps::kMigratable);
    if (!function.rate) continue;
    vf.rate = Rate{.min = megabits(function.rate->tx_share), .max = megabits(function.rate->tx_max)};
    vf.rate_parent = function.rate->parent.value_or("");
  }
}

bool PortFunctions::takes(unsigned vf, const VfChange& change) const {
  const auto found = functions_.find(vf);
  if (found == functions_.end()) return false;
  if (std::holds_alternative<Roce>(change) || std::holds_alternative<Migratable>(change)) return true;
  if (std::holds_alternative<MacAddress>(change)) return found->second.port.hw_addr.has_value();
  const bool rate = std::holds_alternative<Rate>(change) || std::holds_alternative<RateParent>(change);
  return rate && found->second.rate.has_value();
}

Result<void> PortFunctions::set(unsigned vf, const VfChange& change) {
  const auto found = functions_.find(vf);
  if (found == functions_.end()) return fail(Errc::kernel, fmt::format("VF {} has no port in the eswitch", vf));
  DevlinkMessage request{.command = DEVLINK_CMD_PORT_SET, .device = physical_, .port = found->second.port.port};
  if (const auto* mac = std::get_if<MacAddress>(&change)) request.hw_addr = *mac;
  if (const auto* roce = std::get_if<Roce>(&change)) request_cap(request, FunctionCaps::kRoce, roce->on);
  if (const auto* move = std::get_if<Migratable>(&change)) request_cap(request, FunctionCaps::kMigratable, move->on);
  if (const auto* parent = std::get_if<RateParent>(&change)) {
    request.command = DEVLINK_CMD_RATE_SET;
    request.parent = parent->node;
  }
  if (const auto* rate = std::get_if<Rate>(&change)) {
    request.command = DEVLINK_CMD_RATE_SET;
    request.tx_share = rate->min * kBytesPerMegabit;
    request.tx_max = rate->max * kBytesPerMegabit;
  }
  TRY_IN(port_->devlink(request), fmt::format("set {} of VF {}", to_string(change), vf));
  return {};
}

}  // namespace pcivm::sriov
