// SPDX-License-Identifier: GPL-2.0-or-later
// The JSON form of device_facts.hpp.
#include <fmt/format.h>

#include "cli/device_facts.hpp"
#include "iommu/reset_policy.hpp"

namespace pcivm::cli {

namespace {

std::string hex(std::uint16_t number) { return fmt::format("{:04x}", number); }

Json optional_address(const std::optional<Bdf>& address) {
  return address ? Json(address->to_string()) : Json(nullptr);
}

Json bars_json(const std::vector<iommu::Bar>& bars) {
  auto list = Json::array();
  for (const auto& bar : bars) {
    list.push_back({{"index", bar.index},
                    {"type", bar.io ? "io" : "memory"},
                    {"address", fmt::format("{:#x}", bar.address)},  // a number of JSON is exact to 2^53 only
                    {"size", bar.size},
                    {"is64Bit", bar.wide},
                    {"prefetchable", bar.prefetchable},
                    {"possibleSizes", bar.sizes}});
  }
  return list;
}

Json sriov_json(const std::optional<iommu::Sriov>& sriov) {
  if (!sriov) return nullptr;
  return {{"totalVfs", sriov->total_vfs},
          {"numVfs", sriov->num_vfs},
          {"autoprobe", sriov->autoprobe},
          {"hardwareVfs", or_null(sriov->hardware_vfs)},
          {"vfOffset", or_null(sriov->offset)},
          {"vfStride", or_null(sriov->stride)},
          {"vfDevice", sriov->vf_device ? Json(hex(*sriov->vf_device)) : Json(nullptr)},
          {"vfBars", bars_json(sriov->vf_bars)}};
}

Json link_json(const iommu::FunctionDetail& function) {
  if (!function.link) return nullptr;
  const auto& link = *function.link;
  return {{"speed", link.speed},
          {"width", or_null(link.width)},
          {"maxSpeed", or_null(link.max_speed)},
          {"maxWidth", or_null(link.max_width)},
          {"belowCapability", link.below_capability()}};
}

Json msix_json(const std::optional<iommu::MsixPlace>& place) {
  if (!place) return nullptr;
  return {{"tableBar", place->table_bar},
          {"tableOffset", place->table_offset},
          {"pbaBar", place->pba_bar},
          {"pbaOffset", place->pba_offset}};
}

Json users_json(const std::vector<iommu::InUse>& users) {
  auto list = Json::array();
  for (const auto& user : users) list.push_back({{"kind", user.kind}, {"detail", user.detail}});
  return list;
}

Json assignable_json(const iommu::Assignable& assignable) {
  auto reasons = Json::array();
  for (const auto& reason : assignable.reasons) {
    reasons.push_back({{"code", reason.code}, {"text", reason.text}, {"fix", or_null(reason.fix)}});
  }
  return {{"ok", assignable.ok()}, {"reasons", reasons}};
}

Json vpd_json(const std::optional<iommu::Vpd>& vpd) {
  if (!vpd) return nullptr;
  auto fields = Json::object();
  for (const auto& [keyword, value] : vpd->fields) fields[keyword] = value;
  return {{"product", or_null(vpd->product)},        {"partNumber", or_null(vpd->part_number)},
          {"serial", or_null(vpd->serial)},          {"fields", fields},
          {"checksumOk", or_null(vpd->checksum_ok)}, {"problem", or_null(vpd->problem)}};
}

Json netdevs_json(const std::vector<iommu::NetdevFacts>& netdevs) {
  auto list = Json::array();
  for (const auto& netdev : netdevs) {
    list.push_back({{"name", netdev.name},
                    {"mac", or_null(netdev.mac)},
                    {"permanentMac", or_null(netdev.permanent_mac)},
                    {"state", or_null(netdev.state)},
                    {"mtu", or_null(netdev.mtu)},
                    {"speedMbit", or_null(netdev.speed)},
                    {"receiveQueues", netdev.receive_queues},
                    {"transmitQueues", netdev.transmit_queues}});
  }
  return list;
}

Json disks_json(const std::vector<iommu::DiskFacts>& disks) {
  auto list = Json::array();
  for (const auto& disk : disks) {
    list.push_back({{"name", disk.name}, {"size", disk.size}, {"model", or_null(disk.model)}});
  }
  return list;
}

Json nvme_json(const std::vector<iommu::NvmeFacts>& controllers) {
  auto list = Json::array();
  for (const auto& nvme : controllers) {
    list.push_back({{"name", nvme.name},
                    {"model", or_null(nvme.model)},
                    {"serial", or_null(nvme.serial)},
                    {"firmware", or_null(nvme.firmware)},
                    {"state", or_null(nvme.state)}});
  }
  return list;
}

Json errors_json(const std::optional<iommu::ErrorCounts>& errors) {
  if (!errors) return nullptr;
  return {{"correctable", errors->correctable}, {"nonfatal", errors->nonfatal}, {"fatal", errors->fatal}};
}

Json group_json(const std::optional<iommu::Group>& group, const std::vector<iommu::SharingReason>& sharing) {
  if (!group) return nullptr;
  return {{"viable", group->viable()}, {"members", members_json(*group)}, {"sharing", sharing_json(sharing)}};
}

}  // namespace

Json members_json(const iommu::Group& group) {
  auto members = Json::array();
  for (const auto& [function, role] : group.members) {
    members.push_back({{"address", function.address.to_string()},
                       {"driver", or_null(function.driver)},
                       {"role", iommu::to_string(role)}});
  }
  return members;
}

Json sharing_json(const std::vector<iommu::SharingReason>& sharing) {
  auto reasons = Json::array();
  for (const auto& reason : sharing) {
    reasons.push_back({{"address", optional_address(reason.function)}, {"lacks", reason.lacks}, {"text", reason.text}});
  }
  return reasons;
}

Json details_json(const DeviceDetails& details) {
  const auto& record = details.record;
  return {{"vpd", vpd_json(record.vpd)},
          {"vpdMissing", or_null(record.vpd_missing)},
          {"label", or_null(record.label)},
          {"acpiIndex", or_null(record.acpi_index)},
          {"ari", or_null(record.ari)},
          {"d3coldAllowed", or_null(record.d3cold_allowed)},
          {"runtimeStatus", or_null(record.runtime_status)},
          {"powerControl", or_null(record.power_control)},
          {"errors", errors_json(record.errors)},
          {"netdevs", netdevs_json(record.netdevs)},
          {"blockDevices", disks_json(record.disks)},
          {"nvme", nvme_json(record.nvme)},
          {"soundNodes", record.sound_nodes},
          {"serialPorts", record.serial_ports},
          {"group", group_json(details.group, details.sharing)}};
}

Json to_json(const DeviceFacts& facts, const iommu::PciNames& names) {
  const auto& function = facts.function;
  const auto reset = iommu::reset_policy(function);
  return {{"address", function.address.to_string()},
          {"vendor", hex(function.vendor)},
          {"device", hex(function.device)},
          {"subsystem", fmt::format("{:04x}:{:04x}", function.subsystem_vendor, function.subsystem_device)},
          {"revision", fmt::format("{:02x}", function.revision)},
          {"class", fmt::format("{:06x}", function.class_code)},
          {"className", or_null(names.class_name(function.class_code))},
          {"name", full_name(names, function)},
          {"isBridge", function.is_bridge},
          {"driver", or_null(function.driver)},
          {"driverOverride", or_null(function.driver_override)},
          {"iommuGroup", or_null(function.iommu_group)},
          {"numaNode", or_null(function.numa_node)},
          {"localCpus", or_null(function.local_cpus)},
          {"slot", or_null(function.slot)},
          {"serial", or_null(function.serial)},
          {"pcieType", or_null(function.pcie_type)},
          {"resetMethods", function.reset_methods},
          {"resetProven", reset.proven},
          {"resetReason", or_null(reset.reason)},
          {"isVf", function.is_vf()},
          {"physfn", optional_address(function.physfn)},
          {"vfIndex", or_null(function.vf_index)},
          {"sriov", sriov_json(function.sriov)},
          {"bars", bars_json(function.bars)},
          {"msiVectors", or_null(function.msi_vectors)},
          {"msixVectors", or_null(function.msix_vectors)},
          {"msix", msix_json(function.msix)},
          {"link", link_json(function)},
          {"powerState", or_null(function.power_state)},
          {"netdevs", function.netdevs},
          {"blockDevices", function.block_devices},
          {"drmNodes", function.drm_nodes},
          {"rdmaDevices", function.rdma_devices},
          {"inUse", users_json(facts.users)},
          {"assignable", assignable_json(facts.assignable)},
          {"hasVfToken", facts.has_vf_token}};
}

}  // namespace pcivm::cli
