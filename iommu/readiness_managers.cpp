// SPDX-License-Identifier: GPL-2.0-or-later
// Checks for other software that looks after the same devices, and would undo what pcivm does or the other way round.
#include <algorithm>

#include <fmt/format.h>

#include "iommu/class_devices.hpp"
#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

Verdicts driverctl(const HostFacts& host) {
  const auto overrides = host.names("/etc/driverctl.d");
  if (overrides.empty()) return ok("driverctl has no overrides");
  return {{.level = Level::note,
           .found = fmt::format("driverctl sets the driver of {}", some_of(overrides)),
           .cause = "it binds them again at every boot and hot-plug; pcivm refuses to take them",
           .fix = fmt::format("to leave one to pcivm: driverctl unset-override {}", overrides.front())}};
}

/// Files of a directory whose text holds one of two marks, by name without ".xml".
std::vector<std::string> xml_with(const HostFacts& host, const std::string& directory, std::string_view mark) {
  std::vector<std::string> found;
  for (const auto& name : host.names(directory)) {
    if (!name.ends_with(".xml")) continue;
    if (host.text(fmt::format("{}/{}", directory, name)).find(mark) == std::string::npos) continue;
    found.push_back(name.substr(0, name.size() - 4));
  }
  return found;
}

Verdicts libvirt(const HostFacts& host) {
  auto domains = xml_with(host, "/etc/libvirt/qemu", "<hostdev");
  for (auto& running : xml_with(host, "/run/libvirt/qemu", "<hostdev")) {
    if (!holds(domains, running)) domains.push_back(std::move(running));
  }
  const auto networks = xml_with(host, "/etc/libvirt/qemu/networks", "mode='hostdev'");
  Verdicts verdicts;
  if (!domains.empty()) {
    verdicts.push_back({.level = Level::note,
                        .found = fmt::format("libvirt domains with PCI devices: {}", some_of(domains)),
                        .cause = "libvirt binds their devices itself when they start; a running one's are not taken",
                        .fix = fmt::format("see: virsh dumpxml {} | grep -A4 hostdev", domains.front())});
  }
  if (!networks.empty()) {
    verdicts.push_back(
        {.level = Level::warning,
         .found = fmt::format("libvirt networks that hand out VFs: {}", some_of(networks)),
         .cause = "libvirt takes any free VF of their PF, also one that is meant for a VM of pcivm",
         .fix = fmt::format("give such a PF to one of the two: virsh net-destroy {}", networks.front())});
  }
  return verdicts.empty() ? ok("libvirt looks after no PCI device") : verdicts;
}

struct VfInterface {
  std::string name;
  std::string number;  ///< ifindex, by which the managers file their state
};

std::vector<VfInterface> vf_interfaces(const HostFacts& host) {
  const auto netdevs = class_devices(host.root, DeviceClass::net);
  std::vector<VfInterface> found;
  for (const auto& function : host.functions) {
    const auto own = netdevs.find(function.address);
    if (!function.is_vf() || own == netdevs.end()) continue;
    for (const auto& name : own->second) found.push_back({name, host.text("/sys/class/net/" + name + "/ifindex")});
  }
  return found;
}

/// Names of the VFs' interfaces whose state file below `directory` has one of `lines`.
std::vector<std::string> managed_in(const HostFacts& host, std::string_view directory,
                                    const std::vector<std::string>& lines) {
  std::vector<std::string> names;
  for (const auto& interface : vf_interfaces(host)) {
    const auto state = lines_of(host.text(fmt::format("{}/{}", directory, interface.number)));
    const bool managed = std::ranges::any_of(state, [&](const auto& line) { return holds(lines, line); });
    if (managed) names.push_back(interface.name);
  }
  return names;
}

Verdict takes_vfs(std::string_view who, const std::vector<std::string>& names, std::string fix) {
  return {.level = Level::warning,
          .found = fmt::format("{} manages interfaces of VFs: {}", who, some_of(names)),
          .cause = "it brings new VFs up and asks for addresses before they can be given to a VM",
          .fix = std::move(fix)};
}

Verdicts network_managers(const HostFacts& host) {
  Verdicts verdicts;
  const auto manager =
      managed_in(host, "/run/NetworkManager/devices", {"managed=true", "managed=1", "managed=managed"});
  if (!manager.empty()) {
    verdicts.push_back(takes_vfs("NetworkManager", manager,
                                 fmt::format("in /etc/NetworkManager/conf.d/vfs.conf: [keyfile] "
                                             "unmanaged-devices=interface-name:{}",
                                             manager.front())));
  }
  const auto networkd =
      managed_in(host, "/run/systemd/netif/links", {"ADMIN_STATE=configured", "ADMIN_STATE=configuring"});
  if (!networkd.empty()) {
    verdicts.push_back(
        takes_vfs("systemd-networkd", networkd,
                  fmt::format("a .network file that matches {} with [Link] Unmanaged=yes", networkd.front())));
  }
  return verdicts.empty() ? ok("no network manager has an interface of a VF") : verdicts;
}

Verdicts sriov_operator(const HostFacts& host) {
  for (const auto* mark : {"/etc/sriov-operator", "/etc/systemd/system/sriov-config.service"}) {
    if (!host.root.exists(mark)) continue;
    return {{.level = Level::warning,
             .found = fmt::format("sriov-network-operator works on this host ({})", mark),
             .cause = "it makes and destroys VFs by its own plan",
             .fix = "set externallyManaged: true in its SriovNetworkNodePolicy for PFs that pcivm shapes"}};
  }
  return ok("no sriov-network-operator");
}

constexpr Check kChecks[] = {
    {"driverctl", driverctl},
    {"libvirt", libvirt},
    {"network-managers", network_managers},
    {"sriov-operator", sriov_operator},
};

}  // namespace

std::span<const Check> manager_checks() { return kChecks; }

}  // namespace pcivm::iommu
