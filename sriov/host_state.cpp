// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_state.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/inventory.hpp"
#include "sriov/adapter_trail.hpp"
#include "sriov/host_facts.hpp"
#include "sriov/host_names.hpp"
#include "sriov/physical_function.hpp"
#include "sriov/vf_access.hpp"
#include "vfio/journal.hpp"

namespace pcivm::sriov {

namespace {

/// What is the same for all functions of one reading.
struct Reading {
  const vfio::Host& host;
  VfPort* port;
  HostFacts facts;
  std::map<Bdf, vfio::Bound> bound{};
  iommu::VpdReader vpd{};
};

bool lent(const SysRoot& root, const vfio::Bound& bound) { return bound.managed && bound.owner.alive(root); }

// A borrowed function is at its lender's, as far as a configuration is concerned: a plan must not fetch it back.
Result<vfio::DriverState> driver_of(Reading& reading, Bdf function, std::string driver) {
  const auto& root = reading.host.root;
  const auto record = reading.bound.find(function);
  if (record != reading.bound.end() && lent(root, record->second)) return record->second.former;
  auto text = TRY(vfio::read_within(reading.host, vfio::directory_of(function) + "/driver_override"));
  if (text == "(null)") text.clear();
  return vfio::DriverState{.driver = std::move(driver), .driver_override = std::move(text)};
}

bool vanished(const SysRoot& root, Bdf function) { return !root.exists(vfio::directory_of(function)); }

vfio::Settings settings_of(const SysRoot& root, Bdf function) {
  vfio::Settings settings;
  for (const auto* file : {"reset_method", "d3cold_allowed", "power/control"}) {
    const auto value = root.read(fmt::format("{}/{}", vfio::directory_of(function), file));
    if (value) settings[file] = *value;
  }
  return settings;
}

// ---- VFs ----

Result<std::vector<VfState>> read_vfs(Reading& reading, Bdf physical) {
  const auto addresses = vfs_of(reading.host.root, physical);
  std::vector<VfState> vfs;
  if (addresses.empty()) return vfs;
  auto attributes = VfAccess{reading.host, reading.port, physical}.read();
  attributes.resize(addresses.size());
  for (std::size_t index = 0; index < addresses.size(); ++index) {
    const auto address = addresses[index];
    auto name = reading.host.root.link_name(vfio::directory_of(address) + "/driver");
    vfs.push_back({.address = address,
                   .driver = TRY(driver_of(reading, address, std::move(name))),
                   .attributes = std::move(attributes[index]),
                   .netdev = reading.facts.netdev_of(reading.host.root, address)});
  }
  return vfs;
}

Result<PfState> read_pf(Reading& reading, Bdf physical, const std::string& netdev) {
  const auto& root = reading.host.root;
  const auto directory = vfio::directory_of(physical);
  PfState pf;
  const auto total = TRY(root.read(directory + "/sriov_totalvfs"));
  pf.total_vfs = TRY(parse_decimal<unsigned>(total));
  pf.autoprobe = root.read(autoprobe_file(physical)).value_or("1") != "0";
  if (reading.port != nullptr) pf.eswitch = read_eswitch(*reading.port, physical).value_or(Eswitch{});
  if (!netdev.empty()) {
    if (const auto mtu =
            parse_decimal<unsigned>(root.read(fmt::format("/sys/class/net/{}/mtu", netdev)).value_or(""))) {
      pf.mtu = *mtu;
    }
    pf.up = interface_up(root, physical);
  }
  pf.vfs = TRY(read_vfs(reading, physical));
  if (!pf.vfs.empty()) pf.settings = TRY(AdapterTrail::kept_settings(root, physical));
  return pf;
}

// ---- functions ----

// The record of a bind that somebody undid by hand, or of another card, says nothing any more.
void tell_memory(const Reading& reading, FunctionState& function) {
  const auto record = reading.bound.find(function.address);
  if (record == reading.bound.end() || lent(reading.host.root, record->second)) return;
  const auto identity = vfio::identity_of(reading.host.root, function.address);
  if (!identity || *identity != record->second.identity || function.driver.driver_override.empty()) return;
  function.bound_by_pcivm = true;
  function.native_driver = record->second.former.driver;
}

Result<FunctionState> read_function(Reading& reading, const iommu::Function& known) {
  const auto& root = reading.host.root;
  FunctionState function{.address = known.address,
                         .id = {.vendor = known.vendor, .device = known.device},
                         .subsystem = {.vendor = known.subsystem_vendor, .device = known.subsystem_device},
                         .class_code = known.class_code,
                         .iommu_group = known.iommu_group};
  reading.facts.tell(reading.host, reading.vpd, function);
  recall_names(root, function);
  function.driver = TRY(driver_of(reading, known.address, known.driver));
  function.settings = settings_of(root, known.address);
  tell_memory(reading, function);
  if (root.exists(numvfs_file(known.address))) function.pf = TRY(read_pf(reading, known.address, function.netdev));
  return function;
}

std::map<Bdf, vfio::Bound> bound_functions(const SysRoot& root) {
  std::map<Bdf, vfio::Bound> found;
  for (auto& each : vfio::all_bound(root)) found.emplace(each.function, std::move(each));
  return found;
}

// VFs are read with their PF: of each only the link that says so.
Result<std::vector<iommu::Function>> whole_functions(const SysRoot& root) {
  std::vector<iommu::Function> functions;
  const auto names = root.list("/sys/bus/pci/devices");
  if (!names && names.error().kind() == Errc::not_found) return functions;  // a host without PCI has none
  for (const auto& name : TRY(names)) {
    const auto address = Bdf::parse(name);
    if (!address || !root.link_name(vfio::directory_of(*address) + "/physfn").empty()) continue;
    const auto function = iommu::find(root, *address);
    if (function && !function->is_bridge) functions.push_back(*function);
  }
  std::ranges::sort(functions, {}, &iommu::Function::address);
  return functions;
}

}  // namespace

Result<HostState> read_host(const vfio::Host& host, VfPort* port) {
  Reading reading{.host = host, .port = port, .facts = HostFacts::read(host, port)};
  reading.bound = bound_functions(host.root);
  HostState state;
  for (const auto& known : TRY(whole_functions(host.root))) {
    auto function = read_function(reading, known);
    if (!function && vanished(host.root, known.address)) continue;
    state.functions.push_back(TRY(std::move(function)));
  }
  return state;
}

}  // namespace pcivm::sriov
