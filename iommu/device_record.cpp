// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/device_record.hpp"

#include <linux/ethtool.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "base/call_child.hpp"
#include "base/parse.hpp"
#include "base/text.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/ethtool.hpp"

namespace pcivm::iommu {

namespace {

using Names = std::vector<std::string>;

constexpr std::uint64_t kSector = 512;  // of sysfs, whatever the disk has

template <class T>
std::optional<T> number_of(const SysRoot& root, const std::string& path) {
  const auto number = parse_decimal<T>(text_of(root, path));
  return number ? std::optional<T>{*number} : std::nullopt;
}

/// Of the function whose record is made.
Names own(const SysRoot& root, DeviceClass kind, Bdf address) {
  const auto all = class_devices(root, kind);
  const auto found = all.find(address);
  return found == all.end() ? Names{} : found->second;
}

std::string netdev_path(const std::string& name, std::string_view file) {
  return fmt::format("/sys/class/net/{}/{}", name, file);
}

/// Both wait for the lock of all network configuration: "25000" or "-1", blank, permanent MAC.
std::string locked_facts(const SysRoot& root, const std::string& netdev) {
  const auto mac = root.live() ? permanent_mac(system_ioctl(), netdev) : std::string{};
  return fmt::format("{} {}", text_of(root, netdev_path(netdev, "speed")), mac);
}

/// Empty after `deadline`.
std::string patient_facts(const SysRoot& root, const std::string& netdev, std::chrono::milliseconds deadline) {
  if (!root.live()) return locked_facts(root, netdev);
  auto child = CallChild::start([&root](std::string_view asked) { return locked_facts(root, std::string{asked}); });
  return child ? child->ask(netdev, deadline).value_or("") : std::string{};
}

NetdevFacts netdev_facts(const SysRoot& root, const std::string& name, std::chrono::milliseconds deadline) {
  NetdevFacts facts{.name = name,
                    .mac = text_of(root, netdev_path(name, "address")),
                    .state = text_of(root, netdev_path(name, "operstate")),
                    .mtu = number_of<unsigned>(root, netdev_path(name, "mtu"))};
  const auto locked = patient_facts(root, name, deadline);
  const auto blank = std::min(locked.find(' '), locked.size());
  if (const auto speed = parse_decimal<unsigned>(std::string_view{locked}.substr(0, blank))) facts.speed = *speed;
  if (blank != locked.size()) facts.permanent_mac = locked.substr(blank + 1);
  for (const auto& queue : root.list(netdev_path(name, "queues")).value_or(Names{})) {
    if (queue.starts_with("rx-")) ++facts.receive_queues;
    if (queue.starts_with("tx-")) ++facts.transmit_queues;
  }
  return facts;
}

DiskFacts disk_facts(const SysRoot& root, const std::string& name) {
  const auto directory = fmt::format("/sys/class/block/{}", name);
  return {.name = name,
          .size = number_of<std::uint64_t>(root, directory + "/size").value_or(0) * kSector,
          .model = std::string{trimmed(text_of(root, directory + "/device/model"))}};
}

NvmeFacts nvme_facts(const SysRoot& root, const std::string& name) {
  // Drives pad these texts with blanks.
  const auto text = [&](std::string_view file) {
    return std::string{trimmed(text_of(root, fmt::format("/sys/class/nvme/{}/{}", name, file)))};
  };
  return {.name = name,
          .model = text("model"),
          .serial = text("serial"),
          .firmware = text("firmware_rev"),
          .state = text("state")};
}

/// "RxErr 0\nBadTLP 2\n...TOTAL_ERR_COR 2\n"
std::optional<std::uint64_t> total_of(const SysRoot& root, const std::string& path, std::string_view key) {
  std::istringstream words{text_of(root, path)};
  std::string name;
  std::string value;
  while (words >> name >> value) {
    const auto number = parse_decimal<std::uint64_t>(value);
    if (name == key && number) return *number;
  }
  return std::nullopt;
}

std::optional<ErrorCounts> error_counts(const SysRoot& root, const std::string& directory) {
  const auto correctable = total_of(root, directory + "/aer_dev_correctable", "TOTAL_ERR_COR");
  const auto nonfatal = total_of(root, directory + "/aer_dev_nonfatal", "TOTAL_ERR_NONFATAL");
  const auto fatal = total_of(root, directory + "/aer_dev_fatal", "TOTAL_ERR_FATAL");
  if (!correctable || !nonfatal || !fatal) return std::nullopt;
  return ErrorCounts{.correctable = *correctable, .nonfatal = *nonfatal, .fatal = *fatal};
}

std::optional<bool> switch_of(const SysRoot& root, const std::string& path) {
  const auto text = text_of(root, path);
  return text.empty() ? std::nullopt : std::optional<bool>{text == "1"};
}

void read_vpd(const SysRoot& root, Bdf address, std::chrono::milliseconds deadline, DeviceRecord& record) {
  VpdReader reader;
  auto vpd = reader.read(root, address, deadline);
  if (vpd) {
    record.vpd = std::move(*vpd);
  } else {
    record.vpd_missing = vpd.error().text();
  }
}

}  // namespace

std::string permanent_mac(IoctlPort& port, const std::string& netdev) {
  constexpr std::size_t kMac = sizeof(MacAddress::octets);
  constexpr std::size_t kLongest = 32;  // MAX_ADDR_LEN of the kernel
  FlexibleArgument<ethtool_perm_addr> asked{kLongest};
  asked.header().cmd = ETHTOOL_GPERMADDR;
  asked.header().size = kLongest;
  if (!ethtool(port, netdev, &asked.header()) || asked.header().size != kMac) return {};  // InfiniBand has 20 bytes
  MacAddress mac;
  std::memcpy(static_cast<void*>(mac.octets), asked.tail().data(), kMac);
  return mac == MacAddress{} ? std::string{} : mac.to_string();
}

DeviceRecord read_record(const SysRoot& root, const FunctionDetail& function, std::chrono::milliseconds deadline) {
  DeviceRecord record;
  const auto directory = function.directory();
  read_vpd(root, function.address, deadline, record);
  record.label = text_of(root, directory + "/label");
  record.acpi_index = number_of<unsigned>(root, directory + "/acpi_index");
  record.ari = switch_of(root, directory + "/ari_enabled");
  record.d3cold_allowed = switch_of(root, directory + "/d3cold_allowed");
  record.runtime_status = text_of(root, directory + "/power/runtime_status");
  record.power_control = text_of(root, directory + "/power/control");
  record.errors = error_counts(root, directory);
  for (const auto& name : function.netdevs) record.netdevs.push_back(netdev_facts(root, name, deadline));
  for (const auto& name : function.block_devices) record.disks.push_back(disk_facts(root, name));
  for (const auto& name : own(root, DeviceClass::nvme, function.address)) record.nvme.push_back(nvme_facts(root, name));
  record.sound_nodes = own(root, DeviceClass::sound, function.address);
  record.serial_ports = own(root, DeviceClass::tty, function.address);
  return record;
}

}  // namespace pcivm::iommu
