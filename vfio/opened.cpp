// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/opened.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/bars.hpp"
#include "iommu/group.hpp"
#include "iommu/inventory.hpp"
#include "iommu/process_use.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/device.hpp"
#include "vfio/dma_errors.hpp"
#include "vfio/msix_bar.hpp"
#include "vfio/uapi.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {

namespace {

constexpr unsigned kBars = 6;

constexpr const char* kContainer = "/dev/vfio/vfio";

/// "pid 812 (qemu-system-x86)"; empty when nobody can be seen. Holders of one device count too: the kernel opens no
/// group of which a device is open by its own node.
std::string holders_of(const SysRoot& root, const iommu::Group& group) {
  const auto processes = iommu::ProcessUse::read(root);
  std::set<std::string> found;
  for (const auto& member : group.members) {
    for (const auto& user : processes.vfio(root, member.function)) found.insert(user.detail);
  }
  return fmt::to_string(fmt::join(found, ", "));
}

/// The name of a device's own node, "vfio3", which sysfs has at `directory`; empty when the kernel makes none.
std::string node_of(const SysRoot& root, const std::string& directory) {
  const auto names = root.list(directory + "/vfio-dev").value_or(std::vector<std::string>{});
  return names.empty() || !root.exists(fmt::format("/dev/vfio/devices/{}", names.front())) ? "" : names.front();
}

/// The same of a mediated device.
std::string holders_of(const SysRoot& root, const Mdev& mdev, std::uint32_t group) {
  const auto processes = iommu::ProcessUse::read(root);
  const auto node = fmt::format("/dev/vfio/devices/{}", node_of(root, mdev_directory(mdev.uuid)));
  std::vector<std::string> found;
  for (const auto& path : {fmt::format("/dev/vfio/{}", group), node}) {
    for (const auto& user : processes.node("vfio", path)) found.push_back(user.detail);
  }
  return fmt::to_string(fmt::join(found, ", "));
}

Result<Fd> open_container(const SysRoot& root, IoctlPort& port) {
  auto container = root.open_file(kContainer, O_RDWR);
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

Result<void> refuse_no_iommu(const SysRoot& root, std::uint32_t number) {
  if (!root.exists(fmt::format("/dev/vfio/noiommu-{}", number))) return {};
  return fail(Error::make(Errc::refused, fmt::format("group {} is in no-IOMMU mode, which isolates nothing", number))
                  .advise("switch the IOMMU on and enable_unsafe_noiommu_mode of the module vfio off"));
}

Result<Fd> open_node(const SysRoot& root, std::uint32_t group, const std::function<std::string()>& holders) {
  auto node = root.open_file(fmt::format("/dev/vfio/{}", group), O_RDWR);
  if (node || node.error().sys_errno() != EBUSY) return node;
  const auto who = holders();
  return fail(std::move(node).error().within(fmt::format("{} has it", who.empty() ? "another process" : who)));
}

Result<Fd> open_node(const SysRoot& root, const iommu::Group& group) {
  auto node = open_node(root, group.number, [&] { return holders_of(root, group); });
  if (node || node.error().kind() != Errc::not_found) return node;
  return fail(std::move(node).error().advise("no member of the group is bound to vfio-pci: pcivm device bind"));
}

Error shared_with_host(const iommu::Group& group) {
  std::vector<std::string> blockers;
  for (const auto& member : group.members) {
    if (member.role != iommu::Role::blocks) continue;
    blockers.push_back(fmt::format("{} ({})", member.function.address.to_string(), member.function.driver));
  }
  return not_viable(group.number, fmt::to_string(fmt::join(blockers, ", ")));
}

/// Sysfs tells who is in the way. The kernel's own word is whether the group joins a container, or its device an
/// iommufd, which comes soon.
Result<OpenedGroup> open_group(const SysRoot& root, std::uint32_t number, IommuBackend backend) {
  const auto group = TRY(iommu::read_group(root, number));
  OpenedGroup opened{.number = number, .fd = {}, .reserved = {}, .firmware_memory = false};
  TRY(refuse_no_iommu(root, number));
  if (!group.viable()) return fail(shared_with_host(group));
  // With iommufd only to learn who has it: the kernel opens no device of a group that is open.
  const bool node = root.exists(fmt::format("/dev/vfio/{}", number));
  if (backend == IommuBackend::container || node) opened.fd = TRY(open_node(root, group));
  if (backend == IommuBackend::iommufd) opened.fd.close();
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
  const auto bars = TRY(iommu::read_bars(root, address));
  OpenedDevice device{.address = address, .group = group, .bars = {}};
  if (const auto physical = token_owner(root, address)) device.vf_token = TRY(load_vf_token(root, *physical));
  std::ranges::copy_if(bars, std::back_inserter(device.bars), [](const iommu::Bar& bar) { return bar.index < kBars; });
  if (const auto msix = iommu::read_msix(root, address)) device.msix_bar = msix_bar(device.bars, *msix);
  return device;
}

Result<Fd> open_device_node(const SysRoot& root, const std::string& directory) {
  const auto name = node_of(root, directory);
  auto node = TRY(root.open_file(fmt::format("/dev/vfio/devices/{}", name), O_RDWR));
  // A node that is open keeps its name: if it is still the device's, then it was when it was opened.
  if (node_of(root, directory) != name) return fail(Errc::not_found, "it was removed while it was opened");
  return node;
}

/// Why these devices cannot be assigned by iommufd; empty when they can.
std::string without_iommufd(const SysRoot& root, std::span<const Bdf> addresses, std::span<const Mdev> mdevs) {
  if (!root.exists(kIommufd)) return fmt::format("the kernel has no iommufd ({})", kIommufd);
  const auto no_node = [](const std::string& name) {
    return fmt::format("{} has no node below /dev/vfio/devices (CONFIG_VFIO_DEVICE_CDEV)", name);
  };
  for (const auto address : addresses) {
    if (node_of(root, directory_of(address)).empty()) return no_node(address.to_string());
  }
  for (const auto& mdev : mdevs) {
    if (node_of(root, mdev_directory(mdev.uuid)).empty()) return no_node(mdev.uuid);
  }
  return {};
}

// A PF takes a token for the sake of its VFs, which it may have none of. sriov_numvfs is not read: that may block.
bool needs_token(const SysRoot& root, Bdf address) {
  const auto owner = token_owner(root, address);
  if (!owner || *owner != address) return owner.has_value();
  return root.exists(directory_of(address) + "/virtfn0") ||
         root.read("/sys/module/vfio_pci/parameters/enable_sriov").value_or("") == "Y";
}

// Before Linux 6.17 a device that is bound to an iommufd takes no token, and does not ask for it either.
std::string with_token(const SysRoot& root, std::span<const Bdf> addresses) {
  for (const auto address : addresses) {
    if (needs_token(root, address)) return fmt::format("{} needs a VF token", address.to_string());
  }
  return {};
}

/// Sets back end, reason and the descriptor of the IOMMU.
Result<void> open_iommu(const SysRoot& root, IoctlPort& port, OpenedVfio& opened, std::span<const Bdf> addresses,
                        std::span<const Mdev> mdevs, std::optional<IommuBackend> wish) {
  opened.reason = wish == IommuBackend::container ? "" : without_iommufd(root, addresses, mdevs);
  if (wish == IommuBackend::iommufd && !opened.reason.empty()) {
    return fail(Error::make(Errc::not_found, opened.reason).coded("iommufd.not_found").advise("--iommu-backend auto"));
  }
  if (!wish && opened.reason.empty() && root.exists(kContainer)) opened.reason = with_token(root, addresses);
  if (wish != IommuBackend::container && opened.reason.empty()) {
    auto iommu = root.open_file(kIommufd, O_RDWR);
    if (iommu) {
      opened.backend = IommuBackend::iommufd;
      opened.iommu = std::move(*iommu);
      return {};
    }
    if (wish) return fail(std::move(iommu).error().advise("run as root, or load the module: modprobe iommufd"));
    opened.reason = std::move(iommu).error().text();
  }
  opened.iommu = TRY(open_container(root, port));
  return {};
}

Result<void> add_device(const SysRoot& root, OpenedVfio& opened, Bdf address) {
  if (std::ranges::find(opened.devices, address, &OpenedDevice::address) != opened.devices.end()) {
    return fail(Errc::invalid, "given twice");
  }
  const auto number = TRY(group_of(root, address));
  const auto known = std::ranges::find(opened.groups, number, &OpenedGroup::number);
  const auto index = static_cast<std::size_t>(known - opened.groups.begin());
  if (known == opened.groups.end()) {
    opened.groups.push_back(TRY_IN(open_group(root, number, opened.backend), fmt::format("IOMMU group {}", number)));
  }
  auto device = TRY(facts_of(root, address, index));
  if (opened.backend == IommuBackend::iommufd) {
    device.fd = TRY(open_device_node(root, directory_of(address)));
    if (!needs_token(root, address)) device.vf_token.clear();
  }
  opened.devices.push_back(std::move(device));
  return {};
}

// It is alone in its group, and no IOMMU reserves addresses for it.
Result<void> add_mdev(const SysRoot& root, OpenedVfio& opened, const Mdev& mdev, unsigned index) {
  const auto number = TRY(mdev_group(root, mdev.uuid));
  OpenedGroup group{.number = number, .fd = {}, .reserved = {}};
  // As in open_group().
  group.fd = TRY(open_node(root, number, [&] { return holders_of(root, mdev, number); }));
  OpenedDevice device{.address = mdev_address(index), .group = opened.groups.size(), .bars = mdev.bars};
  device.mdev = mdev.uuid;
  if (opened.backend == IommuBackend::iommufd) {
    group.fd.close();
    device.fd = TRY(open_device_node(root, mdev_directory(mdev.uuid)));
  }
  opened.groups.push_back(std::move(group));
  opened.devices.push_back(std::move(device));
  return {};
}

}  // namespace

std::string_view to_string(IommuBackend backend) { return backend == IommuBackend::iommufd ? "iommufd" : "container"; }

std::optional<IommuBackend> backend_named(std::string_view name) {
  for (const auto backend : {IommuBackend::container, IommuBackend::iommufd}) {
    if (name == to_string(backend)) return backend;
  }
  return std::nullopt;
}

std::vector<iommu::Bar> OpenedDevice::guest_bars() const {
  auto all = bars;
  if (msix_bar) all.push_back(*msix_bar);
  return all;
}

unsigned OpenedDevice::bar_mask() const {
  if (!mdev.empty() && bars.empty()) return Device::kEveryBar;  // before anybody asked it
  unsigned mask = 0;
  for (const auto& bar : bars) mask |= 1U << bar.index;
  return mask;
}

std::string OpenedDevice::name() const {
  if (server) return fmt::format("vfio-user '{}'", server->path);
  return mdev.empty() ? address.to_string() : mdev;
}

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
  TRY(refuse_no_iommu(root, number));
  const auto node = TRY(open_node(root, group));
  vfio_group_status status{};
  status.argsz = sizeof status;
  TRY(uapi::get_status(port, node.ref(), status));
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) != 0) return {};
  return fail(shared_with_host(group));
}

Result<OpenedVfio> open_devices(const SysRoot& root, IoctlPort& port, std::span<const Bdf> addresses,
                                std::optional<IommuBackend> wish, std::span<const Mdev> mdevs) {
  OpenedVfio opened;
  // Devices first would be kinder to the reader of an error about a device, but without the modules no group exists.
  for (const auto address : addresses) TRY_IN(group_of(root, address), address.to_string());
  TRY(open_iommu(root, port, opened, addresses, mdevs, wish));
  for (const auto address : addresses) TRY_IN(add_device(root, opened, address), address.to_string());
  for (unsigned index = 0; const auto& mdev : mdevs) TRY_IN(add_mdev(root, opened, mdev, index++), mdev.uuid);
  return opened;
}

Result<OpenedVfio> open_one_more(const SysRoot& root, IoctlPort& port, Bdf address, std::span<const std::uint32_t> held,
                                 std::optional<IommuBackend> wish) {
  OpenedVfio opened;
  const auto number = TRY_IN(group_of(root, address), address.to_string());
  if (std::ranges::find(held, number) != held.end()) {
    opened.groups.push_back({.number = number, .fd = {}, .reserved = {}});
  }
  TRY(open_iommu(root, port, opened, {&address, 1}, {}, wish));
  TRY_IN(add_device(root, opened, address), address.to_string());
  return opened;
}

}  // namespace pcivm::vfio
