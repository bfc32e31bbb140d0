// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_facts.hpp"

#include <linux/ethtool.h>

#include <cstring>

#include <fmt/format.h>

#include "base/text.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/ethtool.hpp"
#include "iommu/serial.hpp"
#include "sriov/physical_function.hpp"

namespace pcivm::sriov {

namespace {

// Where the kernel cannot be asked: an address that was not changed is the one that was burnt in.
PermanentAddress address_in_sysfs(const SysRoot& root, const std::string& interface) {
  const auto directory = "/sys/class/net/" + interface;
  PermanentAddress found{.interface = interface};
  if (text_of(root, directory + "/addr_assign_type") != "0") return found;
  const auto address = text_of(root, directory + "/address");
  if (const auto mac = MacAddress::parse(address)) found.mac = *mac;
  constexpr std::size_t kGuid{8 * 3 - 1};
  if (address.size() <= kGuid) return found;
  if (const auto guid = Guid::parse(std::string_view{address}.substr(address.size() - kGuid))) found.guid = *guid;
  return found;
}

}  // namespace

std::string interface_firmware(IoctlPort* ioctls, const std::string& interface) {
  if (ioctls == nullptr) return {};
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!iommu::ethtool(*ioctls, interface, &info)) return {};
  const std::string told{info.fw_version, ::strnlen(info.fw_version, sizeof info.fw_version)};
  return told == "N/A" ? std::string{} : std::string{trimmed(told)};
}

HostFacts HostFacts::read(const vfio::Host& host, VfPort* port) {
  HostFacts facts;
  facts.netdevs_ = iommu::class_devices(host.root, iommu::DeviceClass::net);
  facts.drives_ = iommu::class_devices(host.root, iommu::DeviceClass::nvme);
  facts.slots_ = iommu::PhysicalSlots::read(host.root);
  if (port == nullptr) return facts;
  auto told = port->permanent_addresses();
  if (!told) return facts;
  for (auto& each : *told) facts.addresses_.emplace(each.interface, each);
  return facts;
}

std::string HostFacts::netdev_of(const SysRoot& root, Bdf function) const {
  const auto found = netdevs_.find(function);
  if (found == netdevs_.end()) return {};
  if (found->second.size() == 1) return found->second.front();
  const auto interface = interface_of(root, function);
  return interface ? interface->name : std::string{};
}

void HostFacts::tell(const vfio::Host& host, iommu::VpdReader& vpd, FunctionState& function) const {
  const auto& root = host.root;
  function.netdev = netdev_of(root, function.address);
  if (!function.netdev.empty()) {
    const auto told = addresses_.find(function.netdev);
    const auto address = told == addresses_.end() ? address_in_sysfs(root, function.netdev) : told->second;
    function.permanent_mac = address.mac;
    function.permanent_guid = address.guid;
    function.firmware = interface_firmware(host.ioctls, function.netdev);
  }
  if (const auto drive = drives_.find(function.address); drive != drives_.end()) {
    const auto directory = "/sys/class/nvme/" + drive->second.front();
    function.nvme_serial = trimmed(text_of(root, directory + "/serial"));
    function.nvme_nqn = trimmed(text_of(root, directory + "/subsysnqn"));
    function.firmware = trimmed(text_of(root, directory + "/firmware_rev"));
  }
  function.serials = iommu::serials_of(root, function.address, vpd, host.read_deadline);
  function.slot = slots_.of(function.address);
  function.path = "pci-" + function.address.to_string();
}

}  // namespace pcivm::sriov
