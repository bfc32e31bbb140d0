// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/owner_use.hpp"

#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kOverrides = "/etc/driverctl.d";
constexpr std::string_view kDomains = "/run/libvirt/qemu";
constexpr std::string_view kHostdevManager = "/run/libvirt/hostdevmgr";

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
bool in_hostdev_manager(const SysRoot& root, const std::vector<std::string>& names, Bdf address) {
  const auto physical = root.link_name(fmt::format("/sys/bus/pci/devices/{}/physfn", address.to_string()));
  if (physical.empty()) return false;
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

OwnerUse OwnerUse::read(const SysRoot& root) {
  OwnerUse use;
  const auto names = [&root](std::string_view path) { return root.list(path).value_or(std::vector<std::string>{}); };
  for (const auto& name : names(kOverrides)) {
    if (const auto driver = root.read(fmt::format("{}/{}", kOverrides, name))) use.overrides_.emplace(name, *driver);
  }
  for (const std::string_view name : names(kDomains)) {
    constexpr std::string_view kSuffix = ".xml";
    if (!name.ends_with(kSuffix)) continue;
    auto xml = root.read(fmt::format("{}/{}", kDomains, name));
    if (xml) use.domains_.emplace_back(name.substr(0, name.size() - kSuffix.size()), std::move(*xml));
  }
  use.network_states_ = names(kHostdevManager);
  return use;
}

std::vector<InUse> OwnerUse::of(const SysRoot& root, Bdf address) const {
  std::vector<InUse> users;
  if (!network_states_.empty() && in_hostdev_manager(root, network_states_, address)) {
    users.push_back({.kind = "libvirt", .detail = fmt::format("{} holds its network state", kHostdevManager)});
  }
  if (overrides_.empty() && domains_.empty()) return users;
  if (const auto found = overrides_.find(address.to_string()); found != overrides_.end()) {
    const auto& [name, driver] = *found;
    users.push_back({.kind = "driverctl", .detail = fmt::format("{}/{} says '{}'", kOverrides, name, driver)});
  }
  for (const auto& [name, xml] : domains_) {
    if (domain_has(xml, address)) users.push_back({.kind = "libvirt", .detail = fmt::format("domain {}", name)});
  }
  return users;
}

}  // namespace pcivm::iommu
