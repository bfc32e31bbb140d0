// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/function_reader.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/config_facts.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kDevices = "/sys/bus/pci/devices";
constexpr std::size_t kConfigSpace = 4096;
constexpr std::size_t kHeader = 64;  // all that users without CAP_SYS_ADMIN can read of it

/// Value of `key=` among the lines of a uevent file; empty when absent.
std::string_view value_of(std::string_view uevent, std::string_view key) {
  for (std::size_t start = 0; start < uevent.size();) {
    const auto end = std::min(uevent.find('\n', start), uevent.size());
    const auto line = uevent.substr(start, end - start);
    if (line.starts_with(key) && line.substr(key.size()).starts_with('=')) return line.substr(key.size() + 1);
    start = end + 1;
  }
  return {};
}

/// "8086:10C9"
void parse_ids(std::string_view text, std::uint16_t& vendor, std::uint16_t& device) {
  const auto colon = std::min(text.find(':'), text.size());
  vendor = parse_hex<std::uint16_t>(text.substr(0, colon)).value_or(0);
  device = parse_hex<std::uint16_t>(text.substr(std::min(colon + 1, text.size()))).value_or(0);
}

/// The header type is not in sysfs' text files; bridges are told by their class (PCI Code and ID Assignment, 1.7).
bool is_bridge_class(std::uint32_t class_code) {
  const auto kind = class_code >> 8U;
  constexpr std::uint32_t kPciBridge = 0x0604;
  constexpr std::uint32_t kCardBusBridge = 0x0607;
  constexpr std::uint32_t kSemiTransparentBridge = 0x0609;
  return kind == kPciBridge || kind == kCardBusBridge || kind == kSemiTransparentBridge;
}

/// The kernel's file is there for these only (drivers/pci/pci-sysfs.c, pci_dev_attrs_are_visible).
bool may_be_boot_vga(std::uint32_t class_code) {
  constexpr std::uint32_t kVga = 0x0300;
  constexpr std::uint32_t kVgaBeforeClasses = 0x0001;
  return class_code >> 8U == kVga || class_code >> 8U == kVgaBeforeClasses;
}

Function parse_function(Bdf address, std::string_view uevent) {
  Function function;
  function.address = address;
  parse_ids(value_of(uevent, "PCI_ID"), function.vendor, function.device);
  parse_ids(value_of(uevent, "PCI_SUBSYS_ID"), function.subsystem_vendor, function.subsystem_device);
  function.class_code = parse_hex<std::uint32_t>(value_of(uevent, "PCI_CLASS")).value_or(0);
  function.is_bridge = is_bridge_class(function.class_code);
  function.driver = value_of(uevent, "DRIVER");
  return function;
}

template <class T>
std::optional<T> number_in(std::string_view text) {
  const auto number = parse_decimal<T>(text);
  return number ? std::optional<T>{*number} : std::nullopt;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const auto space = std::min(text.find(' '), text.size());
    if (space != 0) words.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return words;
}

const std::vector<std::string>& names_of(const Owned::Names& names, Bdf address) {
  static const std::vector<std::string> kNone;
  const auto found = names.find(address);
  return found == names.end() ? kNone : found->second;
}

}  // namespace

Owned Owned::read(const SysRoot& root) {
  return {.netdevs = class_devices(root, DeviceClass::net),
          .disks = class_devices(root, DeviceClass::block),
          .drm_nodes = class_devices(root, DeviceClass::drm),
          .rdma_devices = class_devices(root, DeviceClass::infiniband),
          .slots = PhysicalSlots::read(root)};
}

Result<FunctionReader> FunctionReader::open(const SysRoot& root) {
  auto devices = TRY(SysDir::open(root, std::string{kDevices}));
  return FunctionReader{root, std::move(devices)};
}

std::string FunctionReader::read(const std::string& function, std::string_view file) {
  return devices_.read((function + '/').append(file));
}

std::optional<Function> FunctionReader::function(Bdf address) {
  const auto name = address.to_string();
  const auto uevent = read(name, "uevent");
  if (uevent.empty()) return std::nullopt;
  auto function = parse_function(address, uevent);
  if (const auto group = parse_decimal<std::uint32_t>(devices_.link_name(name + "/iommu_group"))) {
    function.iommu_group = *group;
  }
  if (function.is_bridge) return function;  // never a VF
  if (const auto physical = Bdf::parse(devices_.link_name(name + "/physfn"))) function.physfn = *physical;
  return function;
}

// The kernel gives all functions of a bus the node of that bus (drivers/pci/probe.c, pci_device_add).
FunctionReader::Locality FunctionReader::locality(Bdf address) {
  const auto [found, added] = localities_.try_emplace({address.domain, address.bus});
  if (!added) return found->second;
  auto& place = found->second;
  place.node = number_in<unsigned>(read(address.to_string(), "numa_node"));  // "-1" is no number, and none
  place.cpus = read(address.to_string(), "local_cpulist");
  return place;
}

std::optional<Link> FunctionReader::read_link(const std::string& function) {
  Link link{.speed = read(function, "current_link_speed")};
  if (link.speed.empty() || link.speed.starts_with("Unknown")) return std::nullopt;  // of a VF, or not PCI Express
  link.width = number_in<unsigned>(read(function, "current_link_width"));
  link.max_speed = read(function, "max_link_speed");
  link.max_width = number_in<unsigned>(read(function, "max_link_width"));
  return link;
}

std::vector<Bar> FunctionReader::bars(const Function& function) {
  FunctionDetail detail;
  static_cast<Function&>(detail) = function;
  apply_resources(read(function.address.to_string(), "resource"), detail);
  return std::move(detail.bars);
}

FunctionDetail FunctionReader::detail(const Function& identity, const std::vector<Bdf>& vfs, const Owned& owned) {
  FunctionDetail function;
  static_cast<Function&>(function) = identity;
  const auto name = identity.address.to_string();
  std::array<std::byte, kConfigSpace> image;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the kernel
  const auto length = devices_.read_into(name + "/config", image);
  function.driver_override = read(name, "driver_override");
  if (function.driver_override == "(null)") function.driver_override.clear();
  auto place = locality(identity.address);
  function.numa_node = place.node;
  function.local_cpus = std::move(place.cpus);
  function.reset_methods = words_of(read(name, "reset_method"));
  function.power_state = read(name, "power_state");
  if (function.power_state == "unknown") function.power_state.clear();
  function.boot_vga = may_be_boot_vga(identity.class_code) && read(name, "boot_vga") == "1";
  const auto position = std::ranges::find(vfs, identity.address);
  if (position != vfs.end()) function.vf_index = static_cast<std::uint16_t>(position - vfs.begin());
  if (!identity.is_vf() && !identity.is_bridge) {
    // How many there are is told by their links: reading sriov_numvfs takes the device lock, which a writer may hold
    // for as long as it likes (drivers/pci/iov.c, sriov_numvfs_show).
    if (const auto total = number_in<std::uint16_t>(read(name, "sriov_totalvfs"))) {
      function.sriov = Sriov{.total_vfs = *total,
                             .num_vfs = static_cast<std::uint16_t>(vfs.size()),
                             .autoprobe = read(name, "sriov_drivers_autoprobe") != "0"};
    }
  }
  apply_resources(read(name, "resource"), function);
  apply_config(std::span{image}.first(length), function);
  if (length <= kHeader && !function.link) function.link = read_link(name);
  function.slot = owned.slots.of(identity.address);
  function.netdevs = names_of(owned.netdevs, identity.address);
  function.block_devices = names_of(owned.disks, identity.address);
  function.drm_nodes = names_of(owned.drm_nodes, identity.address);
  function.rdma_devices = names_of(owned.rdma_devices, identity.address);
  return function;
}

}  // namespace pcivm::iommu
