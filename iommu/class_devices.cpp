// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/class_devices.hpp"

#include <algorithm>
#include <optional>

#include "base/sysdir.hpp"

namespace pcivm::iommu {

namespace {

std::string_view directory_of(DeviceClass kind) {
  switch (kind) {
    case DeviceClass::net: return "/sys/class/net";
    case DeviceClass::block: return "/sys/class/block";
    case DeviceClass::drm: return "/sys/class/drm";
    case DeviceClass::graphics: return "/sys/class/graphics";
    case DeviceClass::nvme: return "/sys/class/nvme";
    case DeviceClass::nvme_generic: return "/sys/class/nvme-generic";
    case DeviceClass::sound: return "/sys/class/sound";
    case DeviceClass::infiniband: return "/sys/class/infiniband";
    case DeviceClass::infiniband_verbs: return "/sys/class/infiniband_verbs";
    case DeviceClass::tty: return "/sys/class/tty";
  }
  return {};
}

/// The last PCI address in "../../devices/pci0000:00/0000:00:1c.0/0000:3b:00.1/nvme/nvme0/nvme0n1": the function
/// itself, the ones before it are bridges.
std::optional<Bdf> owner_in(std::string_view target) {
  std::optional<Bdf> owner;
  while (!target.empty()) {
    const auto slash = std::min(target.find('/'), target.size());
    // In the kernel's own spelling: "00:02:0.0" below pnp0 is a port of a serial controller.
    const auto part = target.substr(0, slash);
    if (const auto address = Bdf::parse(part); address && address->to_string() == part) owner = *address;
    target.remove_prefix(std::min(slash + 1, target.size()));
  }
  return owner;
}

/// "nvme0c1n2" is one path to the namespace that is used as "nvme0n2" (drivers/nvme/host/multipath.c).
std::string multipath_head(const std::string& name) {
  const auto path = name.find('c');
  const auto space = name.rfind('n');
  if (!name.starts_with("nvme") || path == std::string::npos || space < path) return name;
  return name.substr(0, path) + name.substr(space);
}

/// "card0" and "renderD128", not "card0-HDMI-A-1".
bool is_node(const std::string& name) {
  return (name.starts_with("card") || name.starts_with("renderD")) && name.find('-') == std::string::npos;
}

/// "tty", "tty7", "console", "ptmx": of no device. There are 60 and more of them, and their links need not be read.
bool is_virtual_terminal(std::string_view name) {
  if (name == "console" || name == "ptmx") return true;
  return name.starts_with("tty") && name.find_first_not_of("0123456789", 3) == std::string_view::npos;
}

}  // namespace

std::map<Bdf, std::vector<std::string>> class_devices(const SysRoot& root, DeviceClass kind) {
  std::map<Bdf, std::vector<std::string>> found;
  const auto directory = directory_of(kind);
  const auto names = root.list(directory);
  auto devices = SysDir::open(root, std::string{directory});
  if (!names || !devices) return found;
  for (const auto& name : *names) {
    if (kind == DeviceClass::drm && !is_node(name)) continue;
    if (kind == DeviceClass::tty && is_virtual_terminal(name)) continue;
    const auto owner = owner_in(devices->link(name));
    if (!owner) continue;
    if (kind == DeviceClass::block && !devices->read(name + "/partition").empty()) continue;
    auto& of_owner = found[*owner];
    const auto shown = kind == DeviceClass::block ? multipath_head(name) : name;
    if (std::ranges::find(of_owner, shown) == of_owner.end()) of_owner.push_back(shown);
  }
  return found;
}

}  // namespace pcivm::iommu
