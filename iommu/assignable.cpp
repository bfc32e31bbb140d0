// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/assignable.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/group.hpp"
#include "iommu/quarantine.hpp"

namespace pcivm::iommu {

namespace {

constexpr auto* kEnableIommu = "enable VT-d or AMD-Vi in the firmware setup; on Intel also boot with intel_iommu=on";

std::string fix_for(const InUse& user) {
  if (user.kind == "vfio" || user.kind == "drm" || user.kind == "open" || user.kind == "rdma")
    return "end that process";
  if (user.kind == "boot") return "the host needs it for its next boot: take it out of /etc/fstab first";
  if (user.kind == "hibernate") return "boot with another resume= or noresume";
  if (user.kind == "kdump") return "name another target in /etc/kdump.conf";
  if (user.kind == "console") return "boot with another console=, or without the firmware's framebuffer";
  if (user.kind == "mount") return "unmount it";
  if (user.kind == "holder" || user.kind == "claimed") return "stop the volume, array or pool on it";
  if (user.kind == "netns") return "bring its interface back to this network namespace";
  if (user.kind == "swap") return "swapoff";
  if (user.kind == "route") return "move the default route to another interface";
  if (user.kind == "ssh") return "come in through another interface";
  if (user.kind == "address") return "remove the addresses, or take the interface down";
  if (user.kind == "bridge" || user.kind == "upper") return "take the interface out of it";
  if (user.kind == "driverctl") return "driverctl unset-override";
  if (user.kind == "libvirt") return "detach it from that domain";
  if (user.kind == "vf") return "free that virtual function";
  return {};
}

void check_use(const std::vector<InUse>& users, std::vector<Reason>& reasons) {
  for (const auto& user : users) {
    reasons.push_back({.code = "in-use", .text = fmt::format("{}: {}", user.kind, user.detail), .fix = fix_for(user)});
  }
}

void check_host(const HostCaps& host, std::vector<Reason>& reasons) {
  if (!host.vfio_available) {
    reasons.push_back({.code = "no-vfio",
                       .text = "the running kernel has no VFIO for PCI",
                       .fix = "boot a kernel with vfio-pci and vfio_iommu_type1"});
  }
  if (host.interrupt_remapping == Answer::no && !host.unsafe_interrupts_allowed && host.iommu != IommuKind::none) {
    reasons.push_back({.code = "no-interrupt-remapping",
                       .text = "the IOMMU does not remap interrupts: a guest could raise any interrupt of the host",
                       .fix = "enable x2APIC or interrupt remapping in the firmware setup"});
  }
}

void check_quarantine(const Function& function, const std::optional<Quarantine>& found, std::vector<Reason>& reasons) {
  if (!found) return;
  reasons.push_back({.code = "quarantined",
                     .text = fmt::format("in quarantine since {}: {}", found->since, found->reason),
                     .fix = fmt::format("pcivm device reset {}", function.address.to_string())});
}

void check_group(const HostCaps& host, const Function& function, const std::vector<Member>& members,
                 std::vector<Reason>& reasons) {
  if (!function.iommu_group) {
    const bool none = host.iommu == IommuKind::none;
    reasons.push_back({.code = none ? "no-iommu" : "no-iommu-group",
                       .text = none ? "this host has no IOMMU in use" : "the IOMMU does not cover this function",
                       .fix = kEnableIommu});
    return;
  }
  std::vector<std::string> blockers;
  for (const auto& member : members) {
    if (member.role != Role::blocks || member.function.address == function.address) continue;
    blockers.push_back(fmt::format("{} ({})", member.function.address.to_string(), member.function.driver));
  }
  if (blockers.empty()) return;
  reasons.push_back(
      {.code = "group-not-viable",
       .text = fmt::format("IOMMU group {} is shared with {}", *function.iommu_group, fmt::join(blockers, ", ")),
       .fix = "bind them to vfio-pci too, or release them from their drivers"});
}

void check_function(const FunctionDetail& function, std::vector<Reason>& reasons) {
  if (function.sriov && function.sriov->num_vfs != 0) {
    reasons.push_back({.code = "vfs-enabled",
                       .text = fmt::format("it has {} virtual functions", function.sriov->num_vfs),
                       .fix = fmt::format("pcivm vf destroy {}", function.address.to_string())});
  }
  if (function.reset_methods.empty()) {
    reasons.push_back({.code = "no-reset", .text = "the kernel knows no way to reset it between two users", .fix = {}});
  }
}

}  // namespace

Assignable assignable(const HostCaps& host, const FunctionDetail& function, const std::vector<InUse>& users,
                      const std::vector<Member>& group, const std::optional<Quarantine>& quarantine) {
  Assignable answer;
  if (function.is_bridge) {  // nothing else matters
    answer.reasons.push_back({.code = "bridge", .text = "it is a bridge", .fix = {}});
    return answer;
  }
  check_quarantine(function, quarantine, answer.reasons);
  check_group(host, function, group, answer.reasons);
  check_host(host, answer.reasons);
  check_use(users, answer.reasons);
  check_function(function, answer.reasons);
  return answer;
}

Result<Assignable> assignable(const SysRoot& root, const HostCaps& host, const FunctionDetail& function,
                              const std::vector<InUse>& users) {
  Group group;
  if (function.iommu_group && !function.is_bridge) group = TRY(read_group(root, *function.iommu_group));
  return assignable(host, function, users, group.members, quarantine_of(root, function.address));
}

}  // namespace pcivm::iommu
