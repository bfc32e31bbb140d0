// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of the functions that are there: SR-IOV that is off, PFs without a driver, groups that nobody can have.
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/pci_regs.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/call_child.hpp"
#include "base/pci_config.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/ethtool.hpp"
#include "iommu/group.hpp"
#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

/// Whether the function has the SR-IOV capability, by its configuration space: root only.
bool has_sriov_capability(const HostFacts& host, const Function& function) {
  const auto image = host.text(function.directory() + "/config");
  return find_extended_capability(std::as_bytes(std::span{image}), PCI_EXT_CAP_ID_SRIOV) != 0;
}

Verdict sriov_unused(const HostFacts& host, const std::vector<std::string>& addresses) {
  const bool built_without = host.kernel_option("CONFIG_PCI_IOV") == "n";
  return {.level = Level::warning,
          .found = fmt::format("SR-IOV of {} is not usable", some_of(addresses)),
          .cause = built_without
                       ? "this kernel is built without CONFIG_PCI_IOV"
                       : "the functions have the capability, but the kernel could not set it up: the firmware "
                         "left no bus numbers or no room for VFs",
          .fix = built_without ? "boot a kernel with CONFIG_PCI_IOV=y"
                               : "enable SR-IOV (and ARI) in the firmware setup; see: dmesg | grep -i -e sriov -e BAR"};
}

Verdicts sriov_support(const HostFacts& host) {
  std::vector<std::string> usable;
  std::vector<std::string> none;
  std::vector<std::string> unusable;
  for (const auto& function : host.functions) {
    const auto address = function.address.to_string();
    const auto total = host.number(function.directory() + "/sriov_totalvfs");
    if (total) (*total == 0 ? none : usable).push_back(address);
    if (total || function.is_vf() || function.is_bridge || !host.privileged) continue;
    if (has_sriov_capability(host, function)) unusable.push_back(address);
  }
  Verdicts verdicts;
  if (!unusable.empty()) verdicts.push_back(sriov_unused(host, unusable));
  if (!none.empty()) {
    verdicts.push_back(
        {.level = Level::warning,
         .found = fmt::format("{} can make no virtual functions (sriov_totalvfs is 0)", some_of(none)),
         .cause = "SR-IOV is off in the firmware of the device",
         .fix = "switch it on with the vendor's tool (Mellanox: mlxconfig -d BDF set SRIOV_EN=1 NUM_OF_VFS=N)"});
  }
  if (!verdicts.empty()) return verdicts;
  if (usable.empty()) return ok("no function has SR-IOV");
  return ok(fmt::format("{} function(s) with SR-IOV: {}", usable.size(), some_of(usable)));
}

Verdicts pf_driver(const HostFacts& host) {
  std::vector<std::string> without;
  bool any = false;
  for (const auto& function : host.functions) {
    if (function.is_vf() || host.number(function.directory() + "/sriov_totalvfs").value_or(0) == 0) continue;
    any = true;
    if (function.driver.empty()) without.push_back(function.address.to_string());
  }
  if (!any) return {};
  if (without.empty()) return ok("every function with SR-IOV has a driver");
  return {{.level = Level::warning,
           .found = fmt::format("{} with SR-IOV has no driver", some_of(without)),
           .cause = "virtual functions are made by the driver of their PF",
           .fix = fmt::format("see which one it wants: lspci -k -s {}; then: modprobe DRIVER", without.front())}};
}

constexpr std::chrono::milliseconds kDriverDeadline{1000};

/// Their drivers have the adapter drop PAUSE frames of VFs (i40e_add_filter_to_drop_tx_flow_control_frames, the rule
/// for ETH_P_PAUSE in ice_vsi_setup).
constexpr std::string_view kPauseFiltered[] = {"i40e", "ice"};

/// "on", "off"; "none" where the driver knows no flow control.
std::string flow_control(IoctlPort& ioctls, const std::string& netdev) {
  ethtool_pauseparam pause{.cmd = ETHTOOL_GPAUSEPARAM, .autoneg = 0, .rx_pause = 0, .tx_pause = 0};
  if (!ethtool(ioctls, netdev, &pause)) return "none";
  return pause.rx_pause != 0 || pause.tx_pause != 0 ? "on" : "off";
}

/// NICs with VFs that obey the frames by which anyone on the link, a VM with a VF too, can stop it (Smolyar et al.,
/// USENIX Security 2015).
Verdicts pause_frames(const HostFacts& host) {
  const auto netdevs = class_devices(host.root, DeviceClass::net);
  std::vector<std::string> asked;
  for (const auto& function : host.functions) {
    const auto own = netdevs.find(function.address);
    if (own == netdevs.end() || host.number(function.directory() + "/sriov_numvfs").value_or(0) == 0) continue;
    if (!holds(kPauseFiltered, function.driver)) asked.insert(asked.end(), own->second.begin(), own->second.end());
  }
  if (asked.empty()) return ok("no NIC has VFs whose PAUSE frames would reach the link");
  if (host.ioctls == nullptr) return unknown(fmt::format("flow control of {} is not in this tree", some_of(asked)), {});
  auto child =
      CallChild::start([&](std::string_view netdev) { return flow_control(*host.ioctls, std::string{netdev}); });
  std::vector<std::string> on;
  std::vector<std::string> silent;
  for (const auto& netdev : asked) {
    const auto answer = child && child->usable() ? child->ask(netdev, kDriverDeadline)
                                                 : Result<std::string>{fail(Errc::timeout, netdev)};
    if (!answer) silent.push_back(netdev);
    if (answer && *answer == "on") on.push_back(netdev);
  }
  if (!on.empty()) {
    return {{.level = Level::warning,
             .found = fmt::format("flow control (PAUSE) is on at {}, which has VFs", some_of(on)),
             .cause =
                 "a VM can send PAUSE frames through its VF and so stop the whole port, with all its other VFs, unless "
                 "the adapter filters them",
             .fix = fmt::format("ethtool -A {} autoneg off rx off tx off", on.front())}};
  }
  if (!silent.empty()) return unknown(fmt::format("the driver of {} does not answer", some_of(silent)), "pcivm doctor");
  return ok(fmt::format("no flow control at {}", some_of(asked)));
}

/// Groups in which one function is free for a VM and another keeps it from it.
Verdicts shared_groups(const HostFacts& host) {
  Verdicts verdicts;
  const auto all = groups(host.root);
  if (!all || all->empty()) return {};
  for (const auto& group : *all) {
    std::vector<std::string> blockers;
    std::vector<std::string> others;
    for (const auto& member : group.members) {
      if (member.function.is_bridge) continue;
      const auto address = member.function.address.to_string();
      if (member.role == Role::blocks) blockers.push_back(fmt::format("{} ({})", address, member.function.driver));
      if (member.role != Role::blocks) others.push_back(address);
    }
    if (blockers.empty() || others.empty()) continue;
    verdicts.push_back({.level = Level::note,
                        .found = fmt::format("group {}: {} cannot be given away while the host has {}", group.number,
                                             some_of(others), some_of(blockers)),
                        .cause = "the IOMMU cannot tell the DMA of functions in one group apart",
                        .fix = fmt::format("pcivm group show {}", group.number)});
  }
  if (!verdicts.empty()) return verdicts;
  return ok(fmt::format("none of {} groups is shared by the host and a function that is free", all->size()));
}

constexpr Check kChecks[] = {
    {"sriov", sriov_support},
    {"pf-driver", pf_driver},
    {"pause-frames", pause_frames},
    {"shared-groups", shared_groups},
};

}  // namespace

std::span<const Check> device_checks() { return kChecks; }

}  // namespace pcivm::iommu
