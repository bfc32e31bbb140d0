// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/in_use.hpp"

#include <algorithm>
#include <map>
#include <span>

#include <fmt/format.h>

#include "iommu/class_devices.hpp"
#include "iommu/console_use.hpp"
#include "iommu/disk_use.hpp"
#include "iommu/group.hpp"
#include "iommu/in_use_each.hpp"
#include "iommu/inventory.hpp"
#include "iommu/netdev_use.hpp"
#include "iommu/netns_use.hpp"
#include "iommu/owner_use.hpp"
#include "iommu/process_use.hpp"

namespace pcivm::iommu {

namespace {

using Names = std::map<Bdf, std::vector<std::string>>;

void append(std::vector<InUse>& users, std::vector<InUse> more) { std::ranges::move(more, std::back_inserter(users)); }

/// Everything of the host that may point at one of the functions that are asked about, read once for all of them.
struct Host {
  const SysRoot& root;
  Names netdevs;
  Names disks;
  Names drm_nodes;
  Names framebuffers;
  Names serial_ports;
  std::vector<std::pair<std::string_view, Names>> nodes;  ///< other character devices: directory in /dev, names
  ProcessUse processes;
  ConsoleUse consoles;
  OwnerUse owners;
  std::map<std::string, std::vector<InUse>> disk_users{};
  NetworkUse network{};
  std::map<Bdf, std::vector<const Function*>> vfs{};  ///< of each PF; of those that are asked about
  bool ask_kernel{false};                             ///< may open disks for an instant

  /// Mounts and routes are followed only where one of `functions` has a disk or an interface.
  static Result<Host> read(const SysRoot& root, std::span<const Function> functions) {
    auto serial_ports = class_devices(root, DeviceClass::tty);
    Host host{.root = root,
              .netdevs = class_devices(root, DeviceClass::net),
              .disks = class_devices(root, DeviceClass::block),
              .drm_nodes = class_devices(root, DeviceClass::drm),
              .framebuffers = class_devices(root, DeviceClass::graphics),
              .serial_ports = serial_ports,
              .nodes = {{"", class_devices(root, DeviceClass::nvme)},
                        {"", class_devices(root, DeviceClass::nvme_generic)},
                        {"", std::move(serial_ports)},
                        {"snd/", class_devices(root, DeviceClass::sound)},
                        {"infiniband/", class_devices(root, DeviceClass::infiniband_verbs)}},
              .processes = ProcessUse::read(root),
              .consoles = ConsoleUse::read(root),
              .owners = OwnerUse::read(root)};
    const auto any_has = [&](const Names& names) {
      return std::ranges::any_of(functions, [&](const auto& function) { return names.contains(function.address); });
    };
    if (any_has(host.disks)) host.disk_users = TRY(iommu::disk_users(root));
    if (any_has(host.netdevs)) host.network = NetworkUse::read(root);
    return host;
  }
};

const std::vector<std::string>& names_of(const Names& names, Bdf address) {
  static const std::vector<std::string> kNone;
  const auto found = names.find(address);
  return found == names.end() ? kNone : found->second;
}

std::vector<InUse> users_of_disk(const Host& host, const std::string& disk) {
  std::vector<InUse> users;
  if (const auto found = host.disk_users.find(disk); found != host.disk_users.end()) users = found->second;
  if (users.empty()) append(users, disk_holders(host.root, disk));
  append(users, host.processes.disk(host.root, disk));
  if (users.empty() && host.ask_kernel && disk_claimed(host.root, disk)) {
    users.push_back({.kind = "claimed", .detail = fmt::format("the kernel -> {}", disk)});
  }
  return users;
}

void add_disk_users(const Host& host, const Function& function, std::vector<InUse>& users) {
  for (const auto& disk : names_of(host.disks, function.address)) {
    for (auto& user : users_of_disk(host, disk)) {
      user.detail += fmt::format(" -> {}", function.address.to_string());
      users.push_back(std::move(user));
    }
  }
}

/// An Ethernet function whose driver runs and whose interface is nowhere to be seen.
bool interface_elsewhere(const Host& host, const Function& function) {
  constexpr std::uint32_t kEthernet = 0x0200;
  return function.class_code >> 8U == kEthernet && !function.driver.empty() && !leaves_dma_to_user(function.driver) &&
         function.driver.find("uio") == std::string::npos && names_of(host.netdevs, function.address).empty();
}

void add_network_users(const Host& host, const Function& function, std::vector<InUse>& users) {
  for (const auto& netdev : names_of(host.netdevs, function.address)) append(users, host.network.of(host.root, netdev));
  if (interface_elsewhere(host, function)) {
    const auto place = host.ask_kernel ? interface_in_namespace(host.root, function.address) : std::nullopt;
    users.push_back({.kind = "netns",
                     .detail = place.value_or(fmt::format(
                         "driver {} is bound and its interface is not in this network namespace", function.driver))});
  }
}

void add_graphics_users(const Host& host, const Function& function, std::vector<InUse>& users) {
  constexpr std::uint32_t kDisplay = 0x03;
  constexpr std::uint32_t kBeforeClasses = 0x00;
  const auto base = function.class_code >> 16U;
  const bool console = (base == kDisplay || base == kBeforeClasses) &&
                       host.root.read(function.directory() + "/boot_vga").value_or("") == "1";
  // Bound to vfio-pci it no longer shows anything.
  if (console && !leaves_dma_to_user(function.driver)) {
    users.push_back({.kind = "boot-vga", .detail = "the firmware's console is on it"});
  }
  append(users, host.consoles.of(function.address, names_of(host.framebuffers, function.address),
                                 names_of(host.serial_ports, function.address)));
  for (const auto& node : names_of(host.drm_nodes, function.address)) append(users, host.processes.drm(node));
}

void add_node_users(const Host& host, const Function& function, std::vector<InUse>& users) {
  for (const auto& [directory, names] : host.nodes) {
    for (const auto& name : names_of(names, function.address)) {
      // An RDMA application holds its device by the verbs node alone.
      const auto* kind = directory == "infiniband/" ? "rdma" : "open";
      append(users, host.processes.node(kind, fmt::format("/dev/{}{}", directory, name)));
    }
  }
}

std::vector<InUse> users_in(const Host& host, const Function& function) {
  std::vector<InUse> users = host.processes.vfio(host.root, function);
  add_disk_users(host, function, users);
  add_network_users(host, function, users);
  add_graphics_users(host, function, users);
  add_node_users(host, function, users);
  append(users, host.owners.of(host.root, function.address));
  const auto vfs = host.vfs.find(function.address);
  if (vfs == host.vfs.end()) return users;
  for (const auto* vf : vfs->second) {
    for (const auto& user : users_in(host, *vf)) {
      users.push_back(
          {.kind = "vf", .detail = fmt::format("{}: {}: {}", vf->address.to_string(), user.kind, user.detail)});
    }
  }
  return users;
}

}  // namespace

Result<std::vector<InUse>> users_of(const SysRoot& root, Bdf address) {
  return TRY(users_of_each(root, {&address, 1})).front();
}

Result<std::vector<std::vector<InUse>>> users_of_each(const SysRoot& root, std::span<const Bdf> addresses) {
  std::vector<Function> functions;
  for (const auto address : addresses) functions.push_back(TRY(find(root, address)));
  for (const auto address : addresses) {
    for (auto& vf : find_all(root, virtual_functions(root, address).value_or(std::vector<Bdf>{}))) {
      functions.push_back(std::move(vf));
    }
  }
  auto host = TRY(Host::read(root, functions));
  host.ask_kernel = true;
  for (const auto& vf : std::span{functions}.subspan(addresses.size())) {
    if (vf.physfn) host.vfs[*vf.physfn].push_back(&vf);
  }
  std::vector<std::vector<InUse>> all;
  for (const auto& function : std::span{functions}.first(addresses.size())) all.push_back(users_in(host, function));
  return all;
}

Result<std::vector<std::vector<InUse>>> users_of_all(const SysRoot& root, const std::vector<Function>& functions) {
  auto host = TRY(Host::read(root, functions));
  for (const auto& function : functions) {
    if (function.physfn) host.vfs[*function.physfn].push_back(&function);
  }
  std::vector<std::vector<InUse>> all;
  for (const auto& function : functions) all.push_back(users_in(host, function));
  return all;
}

std::string to_string(const std::vector<InUse>& users) {
  std::string text;
  for (const auto& user : users) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", user.kind, user.detail);
  }
  return text;
}

}  // namespace pcivm::iommu
