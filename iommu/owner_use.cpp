// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/owner_use.hpp"

#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"

namespace pcivm::iommu {

namespace {

/// Value of attribute `name` in the tag `tag`, written with either quote; empty when absent.
std::string_view attribute(std::string_view tag, std::string_view name) {
  const auto start = tag.find(fmt::format(" {}=", name));
  if (start == std::string_view::npos || start + name.size() + 3 > tag.size()) return {};
  const auto rest = tag.substr(start + name.size() + 2);
  const auto end = rest.find(rest.front(), 1);
  return end == std::string_view::npos ? std::string_view{} : rest.substr(1, end - 1);
}

/// <address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>
bool is_address_of(std::string_view tag, Bdf address) {
  const auto number = [&](std::string_view name) {
    return parse_hex_prefixed<std::uint32_t>(attribute(tag, name)).value_or(~0U);
  };
  return number("domain") == address.domain && number("bus") == address.bus && number("slot") == address.device &&
         number("function") == address.function;
}

/// The host's side of a <hostdev> is the address inside its <source>; the one after it is the guest's.
bool domain_has(std::string_view xml, Bdf address) {
  for (auto start = xml.find("<hostdev"); start != std::string_view::npos; start = xml.find("<hostdev", start + 1)) {
    const auto element = xml.substr(start, xml.find("</hostdev>", start) - start);
    const auto source = element.find("<source");
    if (source == std::string_view::npos) continue;
    const auto inside = element.substr(source, element.find("</source>", source) - source);
    const auto tag = inside.find("<address");
    if (tag != std::string_view::npos && is_address_of(inside.substr(tag, inside.find('>', tag) - tag), address)) {
      return true;
    }
  }
  return false;
}

/// libvirt keeps the network state of a VF that it gave away in a file named by the PF's interface and the VF's number,
/// "eth2_vf3" (src/util/virnetdev.c), and removes it when it has put the state back.
bool in_hostdev_manager(const SysRoot& root, Bdf address) {
  const auto physical = root.link_name(fmt::format("/sys/bus/pci/devices/{}/physfn", address.to_string()));
  if (physical.empty()) return false;
  const auto names = root.list("/run/libvirt/hostdevmgr").value_or(std::vector<std::string>{});
  for (const auto& name : names) {
    const auto mark = name.rfind("_vf");
    if (mark == std::string::npos) continue;
    const auto interface = fmt::format("/sys/bus/pci/devices/{}/net/{}", physical, name.substr(0, mark));
    const auto link = fmt::format("/sys/bus/pci/devices/{}/virtfn{}", physical, name.substr(mark + 3));
    if (root.exists(interface) && root.link_name(link) == address.to_string()) return true;
  }
  return false;
}

}  // namespace

std::vector<InUse> other_owners(const SysRoot& root, Bdf address) {
  std::vector<InUse> users;
  if (in_hostdev_manager(root, address)) {
    users.push_back({.kind = "libvirt", .detail = "/run/libvirt/hostdevmgr holds its network state"});
  }
  const auto override_file = fmt::format("/etc/driverctl.d/{}", address.to_string());
  if (const auto driver = root.read(override_file)) {
    users.push_back({.kind = "driverctl", .detail = fmt::format("{} says '{}'", override_file, *driver)});
  }
  constexpr std::string_view kDomains = "/run/libvirt/qemu";
  for (const std::string_view name : root.list(kDomains).value_or(std::vector<std::string>{})) {
    if (!name.ends_with(".xml")) continue;
    const auto xml = root.read(fmt::format("{}/{}", kDomains, name));
    if (!xml || !domain_has(*xml, address)) continue;
    users.push_back({.kind = "libvirt", .detail = fmt::format("domain {}", name.substr(0, name.size() - 4))});
  }
  return users;
}

}  // namespace pcivm::iommu
