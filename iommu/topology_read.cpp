// SPDX-License-Identifier: GPL-2.0-or-later
// What of the host a Topology is made of.
#include <linux/pci_regs.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "base/pci_config.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/in_use.hpp"
#include "iommu/inventory.hpp"
#include "iommu/topology.hpp"

namespace pcivm::iommu {

namespace {

using Names = std::vector<std::string>;

/// "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0" -> what comes after "devices".
Names path_of(const SysRoot& root, const Function& function) {
  auto target = root.link(function.directory()).value_or("");
  Names path;
  while (!target.empty()) {
    const auto slash = std::min(target.find('/'), target.size());
    auto part = target.substr(0, slash);
    target.erase(0, std::min(slash + 1, target.size()));
    if (part.starts_with("pci") || Bdf::parse(part)) path.push_back(std::move(part));
  }
  return path;
}

/// Device/Port Type (PCI Express Base 6.0, 7.5.3.2). Needs CAP_SYS_ADMIN to read beyond the first 64 bytes.
std::optional<Place> port_of(const SysRoot& root, const Function& function) {
  if (!function.is_bridge) return std::nullopt;
  const auto config = root.read(function.directory() + "/config").value_or("");
  const auto image = std::as_bytes(std::span{config});
  const auto express = find_capability(image, PCI_CAP_ID_EXP);
  if (express == 0) return std::nullopt;
  switch ((config_u16(image, express + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_TYPE) >> 4U) {
    case PCI_EXP_TYPE_ROOT_PORT: return Place::root_port;
    case PCI_EXP_TYPE_UPSTREAM: return Place::upstream_port;
    case PCI_EXP_TYPE_DOWNSTREAM: return Place::downstream_port;
    default: return Place::bridge;
  }
}

/// The NUL-separated arguments of a process.
Names arguments_of(const SysRoot& root, const std::string& pid) {
  const auto text = root.read(fmt::format("/proc/{}/cmdline", pid)).value_or("");
  Names words;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find('\0', start), text.size());
    words.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

/// The VM that a process runs: `pcivm vm run NAME`, `qemu-system-x86_64 -name guest=NAME,...`. Empty = no VM.
std::string vm_of(const SysRoot& root, const std::string& pid) {
  const auto words = arguments_of(root, pid);
  const auto after = [&](std::size_t at) { return at + 1 < words.size() ? words[at + 1] : std::string{}; };
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "run" && words[i - 1] == "vm") return after(i);
    if (words[i] != "-name") continue;
    auto name = after(i);
    if (name.starts_with("guest=")) name.erase(0, 6);
    return name.substr(0, name.find(','));
  }
  return {};
}

/// "pid 812 (pcivm)" becomes "VM web1 (pid 812)" when the process runs one. The supervisor of a VM and its VMM are one.
void add_holder(const SysRoot& root, const std::string& holder, Names& holders) {
  constexpr std::string_view kPid = "pid ";
  const auto pid = holder.substr(kPid.size(), holder.find(' ', kPid.size()) - kPid.size());
  const auto vm = holder.starts_with(kPid) ? vm_of(root, pid) : std::string{};
  const auto name = fmt::format("VM {} (", vm);
  if (vm.empty()) {
    holders.push_back(holder);
  } else if (std::ranges::none_of(holders, [&](const auto& other) { return other.starts_with(name); })) {
    holders.push_back(fmt::format("{}pid {})", name, pid));
  }
}

/// What the kernel calls the devices of each function: interfaces, disks, graphics nodes.
std::map<Bdf, Names> devices_of(const SysRoot& root) {
  std::map<Bdf, Names> all;
  for (const auto kind : {DeviceClass::net, DeviceClass::block, DeviceClass::drm}) {
    for (auto& [address, names] : class_devices(root, kind)) {
      auto& own = all[address];
      own.insert(own.end(), names.begin(), names.end());
    }
  }
  return all;
}

void tell_holder(const SysRoot& root, const std::vector<InUse>& users, const Names& devices, PlacedFunction& placed) {
  const auto& driver = placed.function.driver;
  placed.holder = driver.empty() ? Holder::nobody : Holder::host;
  if (driver.find("vfio") != std::string::npos) placed.holder = Holder::vfio;
  std::set<std::string> kinds;
  Names holders;
  for (const auto& user : users) {
    if (user.kind == "vfio") add_holder(root, user.detail, holders);
    if (user.kind != "vfio") kinds.insert(user.kind);
  }
  if (!holders.empty()) {
    placed.holder = Holder::process;
    placed.owner = fmt::format("{}", fmt::join(holders, ", "));
    return;
  }
  placed.owner = fmt::format("{}", fmt::join(devices, ", "));
  if (!kinds.empty()) placed.owner += fmt::format("{}({})", placed.owner.empty() ? "" : " ", fmt::join(kinds, ", "));
}

/// "socket 1, NUMA node 2", by the first processor of the node.
std::string label_of(const SysRoot& root, unsigned node) {
  const auto processors = root.read(fmt::format("/sys/devices/system/node/node{}/cpulist", node)).value_or("");
  const auto first = processors.substr(0, processors.find_first_of("-,"));
  const auto package =
      root.read(fmt::format("/sys/devices/system/cpu/cpu{}/topology/physical_package_id", first)).value_or("");
  if (first.empty() || package.empty() || package.starts_with('-')) return fmt::format("NUMA node {}", node);
  return fmt::format("socket {}, NUMA node {}", package, node);
}

/// The kernel tells the node of functions; that of a host bridge is the one of what stands right at it.
std::vector<Locality> localities_of(const SysRoot& root, const std::vector<PlacedFunction>& functions) {
  std::map<std::string, std::optional<unsigned>> nodes;
  for (const auto& placed : functions) {
    if (placed.path.size() != 2 || nodes[placed.path[0]]) continue;
    const auto text = root.read(placed.function.directory() + "/numa_node").value_or("");
    if (const auto node = parse_decimal<unsigned>(text)) nodes[placed.path[0]] = *node;  // "-1" is none
  }
  std::vector<Locality> all;
  for (const auto& [bridge, node] : nodes) {
    if (node) all.push_back({bridge, fmt::format("node{}", *node), label_of(root, *node)});
    if (!node) all.push_back({bridge, "no-node", "no NUMA node"});
  }
  return all;
}

}  // namespace

Result<Topology> read_topology(const SysRoot& root) {
  const auto functions = TRY(list(root));
  const auto users = TRY(users_of_all(root, functions));
  const auto devices = devices_of(root);
  std::vector<PlacedFunction> placed;
  for (std::size_t i = 0; i < functions.size(); ++i) {
    auto& made = placed.emplace_back();
    made.function = functions[i];
    made.path = path_of(root, functions[i]);
    made.port = port_of(root, functions[i]);
    const auto own = devices.find(functions[i].address);
    tell_holder(root, users[i], own == devices.end() ? Names{} : own->second, made);
  }
  const auto localities = localities_of(root, placed);
  return build_topology(std::move(placed), localities);
}

}  // namespace pcivm::iommu
