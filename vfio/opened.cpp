// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/opened.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/group.hpp"
#include "iommu/inventory.hpp"
#include "vfio/uapi.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {

namespace {

constexpr unsigned kBars = 6;

/// "pid 812 (qemu-system-x86)", or empty when nobody can be seen.
std::string holder_of(const SysRoot& root, const std::string& node) {
  const auto processes = root.list("/proc");
  if (!processes) return {};
  for (const auto& pid : *processes) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto descriptors = root.list(fmt::format("/proc/{}/fd", pid));
    if (!descriptors) continue;
    for (const auto& descriptor : *descriptors) {
      const auto target = root.link(fmt::format("/proc/{}/fd/{}", pid, descriptor));
      if (!target || *target != node) continue;
      const auto command = root.read(fmt::format("/proc/{}/comm", pid));
      return fmt::format("pid {} ({})", pid, command ? *command : "?");
    }
  }
  return {};
}

Result<Fd> open_container(const SysRoot& root, IoctlPort& port) {
  auto container = root.open_file("/dev/vfio/vfio", O_RDWR);
  if (!container) {
    const bool absent = container.error().kind() == Errc::not_found || container.error().sys_errno() == ENODEV;
    return fail(std::move(container)
                    .error()
                    .as(absent ? Errc::not_found : Errc::denied)
                    .advise(absent ? "load the modules: modprobe -a vfio-pci vfio_iommu_type1"
                                   : "run as root, or give the user the node"));
  }
  const int version = TRY(uapi::get_api_version(port, container->ref()));
  if (version != VFIO_API_VERSION) {
    return fail(Errc::kernel, fmt::format("VFIO API version {}, wanted {}", version, VFIO_API_VERSION));
  }
  const int supported = TRY(uapi::check_extension(port, container->ref(), VFIO_TYPE1v2_IOMMU));
  if (supported == 0) {
    return fail(
        Error::make(Errc::not_found, "VFIO has no type1v2 IOMMU driver").advise("load it: modprobe vfio_iommu_type1"));
  }
  return container;
}

Result<Fd> open_node(const SysRoot& root, std::uint32_t number) {
  const auto node = fmt::format("/dev/vfio/{}", number);
  if (root.exists(fmt::format("/dev/vfio/noiommu-{}", number))) {
    return fail(Error::make(Errc::refused, fmt::format("group {} is in no-IOMMU mode, which isolates nothing", number))
                    .advise("switch the IOMMU on and enable_unsafe_noiommu_mode of the module vfio off"));
  }
  auto group = root.open_file(node, O_RDWR);
  if (group) return group;
  auto error = std::move(group).error();
  if (error.sys_errno() == EBUSY) {
    const auto holder = holder_of(root, node);
    return fail(std::move(error).within(holder.empty() ? "another process has it" : fmt::format("{} has it", holder)));
  }
  if (error.kind() == Errc::not_found) {
    return fail(std::move(error).advise("no member of the group is bound to vfio-pci: pcivm device bind"));
  }
  return fail(std::move(error));
}

/// The viable bit alone decides; sysfs only tells who is in the way.
Result<void> check_viable(IoctlPort& port, FdRef fd, const iommu::Group& group) {
  vfio_group_status status{};
  status.argsz = sizeof status;
  TRY(uapi::get_status(port, fd, status));
  if ((status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) != 0) {
    return fail(Errc::busy, "it is already in a container");
  }
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) != 0) return {};
  std::vector<std::string> blockers;
  for (const auto& member : group.members) {
    if (member.role != iommu::Role::blocks) continue;
    blockers.push_back(fmt::format("{} ({})", member.function.address.to_string(), member.function.driver));
  }
  return fail(
      Error::make(Errc::refused,
                  fmt::format("not viable: the IOMMU cannot tell its functions apart and the host "
                              "uses {}",
                              blockers.empty() ? "one of them" : fmt::to_string(fmt::join(blockers, ", "))))
          .advise("bind all functions of the group to vfio-pci: pcivm group show " + std::to_string(group.number))
          .coded("group.not_viable"));
}

Result<OpenedGroup> open_group(const SysRoot& root, IoctlPort& port, std::uint32_t number) {
  const auto group = TRY(iommu::read_group(root, number));
  OpenedGroup opened{.number = number, .fd = TRY(open_node(root, number)), .reserved = {}, .firmware_memory = false};
  TRY(check_viable(port, opened.fd.ref(), group));
  for (const auto& region : group.reserved) {
    // "direct-relaxable" regions belong to boot firmware only and are given up when the device is assigned.
    if (region.type == "direct-relaxable") continue;
    opened.firmware_memory = opened.firmware_memory || region.type == "direct";
    opened.reserved.push_back({.first = region.first, .last = region.last});
  }
  return opened;
}

Result<std::uint32_t> group_of(const SysRoot& root, Bdf address) {
  const auto function = TRY(iommu::find(root, address));
  if (function.is_bridge) return fail(Errc::refused, "a bridge cannot be assigned");
  if (!function.iommu_group) {
    return fail(
        Error::make(Errc::not_found, "in no IOMMU group: the host's IOMMU is off")
            .advise("intel_iommu=on on Intel hosts, and VT-d or AMD-Vi on in the firmware setup: pcivm doctor"));
  }
  // Variant drivers: mlx5_vfio_pci, hisi-acc-vfio-pci, ...
  if (function.driver.find("vfio") == std::string::npos) {
    const auto& driver = function.driver;
    return fail(
        Error::make(Errc::refused, fmt::format("its driver is {}, wanted vfio-pci", driver.empty() ? "none" : driver))
            .advise(fmt::format("pcivm device bind {}", address.to_string())));
  }
  return *function.iommu_group;
}

Result<OpenedDevice> facts_of(const SysRoot& root, Bdf address, std::size_t group) {
  const auto function = TRY(iommu::read_function(root, address));
  OpenedDevice device{.address = address, .group = group, .bars = {}};
  if (const auto physical = token_owner(root, address)) device.vf_token = TRY(load_vf_token(root, *physical));
  std::ranges::copy_if(function.bars, std::back_inserter(device.bars),
                       [](const iommu::Bar& bar) { return bar.index < kBars; });
  return device;
}

Result<void> add_device(const SysRoot& root, IoctlPort& port, OpenedVfio& opened, Bdf address) {
  if (std::ranges::find(opened.devices, address, &OpenedDevice::address) != opened.devices.end()) {
    return fail(Errc::invalid, "given twice");
  }
  const auto number = TRY(group_of(root, address));
  const auto known = std::ranges::find(opened.groups, number, &OpenedGroup::number);
  const auto index = static_cast<std::size_t>(known - opened.groups.begin());
  if (known == opened.groups.end()) {
    opened.groups.push_back(TRY_IN(open_group(root, port, number), fmt::format("IOMMU group {}", number)));
  }
  opened.devices.push_back(TRY(facts_of(root, address, index)));
  return {};
}

}  // namespace

std::vector<IovaRange> OpenedVfio::reserved() const {
  std::vector<IovaRange> all;
  for (const auto& group : groups) std::ranges::copy(group.reserved, std::back_inserter(all));
  std::ranges::sort(all, {}, &IovaRange::first);
  const auto [from, to] = std::ranges::unique(all);
  all.erase(from, to);
  return all;
}

Result<void> check_group_viable(const SysRoot& root, IoctlPort& port, std::uint32_t number) {
  const auto group = TRY(iommu::read_group(root, number));
  const auto node = TRY(open_node(root, number));
  return check_viable(port, node.ref(), group);
}

Result<OpenedVfio> open_devices(const SysRoot& root, IoctlPort& port, std::span<const Bdf> addresses) {
  OpenedVfio opened;
  // Devices first would be kinder to the reader of an error about a device, but without the modules no group exists.
  for (const auto address : addresses) TRY_IN(group_of(root, address), address.to_string());
  opened.container = TRY(open_container(root, port));
  for (const auto address : addresses) TRY_IN(add_device(root, port, opened, address), address.to_string());
  return opened;
}

Result<OpenedVfio> open_one_more(const SysRoot& root, IoctlPort& port, Bdf address,
                                 std::span<const std::uint32_t> held) {
  OpenedVfio opened;
  const auto number = TRY_IN(group_of(root, address), address.to_string());
  if (std::ranges::find(held, number) != held.end()) {
    opened.groups.push_back({.number = number, .fd = {}, .reserved = {}});
  }
  opened.container = TRY(open_container(root, port));
  TRY_IN(add_device(root, port, opened, address), address.to_string());
  return opened;
}

}  // namespace pcivm::vfio
