// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/device_facts.hpp"

#include <fmt/format.h>

#include "iommu/inventory.hpp"

namespace pcivm::cli {

namespace {

std::string hex(std::uint16_t number) { return fmt::format("{:04x}", number); }

Json optional_address(const std::optional<Bdf>& address) {
  return address ? Json(address->to_string()) : Json(nullptr);
}

Json sriov_json(const std::optional<iommu::Sriov>& sriov) {
  if (!sriov) return nullptr;
  return {{"totalVfs", sriov->total_vfs}, {"numVfs", sriov->num_vfs}, {"autoprobe", sriov->autoprobe}};
}

Json bars_json(const std::vector<iommu::Bar>& bars) {
  auto list = Json::array();
  for (const auto& bar : bars) {
    list.push_back({{"index", bar.index},
                    {"type", bar.io ? "io" : "memory"},
                    {"address", fmt::format("{:#x}", bar.address)},  // a number of JSON is exact to 2^53 only
                    {"size", bar.size},
                    {"is64Bit", bar.wide},
                    {"prefetchable", bar.prefetchable}});
  }
  return list;
}

Json link_json(const iommu::FunctionDetail& function) {
  if (!function.link) return nullptr;
  return {{"speed", function.link->speed}, {"width", or_null(function.link->width)}};
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

}  // namespace

Result<DeviceFacts> device_facts(const SysRoot& root, Bdf address) {
  DeviceFacts facts;
  facts.function = TRY(iommu::read_function(root, address));
  facts.users = TRY(iommu::users_of(root, address));
  facts.assignable = TRY(iommu::assignable(root, iommu::read_host_caps(root), facts.function, facts.users));
  return facts;
}

Result<std::vector<DeviceFacts>> all_device_facts(const SysRoot& root) {
  auto details = TRY(iommu::list_details(root));
  const std::vector<iommu::Function> functions{details.begin(), details.end()};
  auto users = TRY(iommu::users_of_all(root, functions));
  const auto host = iommu::read_host_caps(root);
  const auto groups = iommu::members_by_group(functions);
  const auto quarantined = iommu::quarantined(root);
  std::vector<DeviceFacts> all;
  for (std::size_t i = 0; i < details.size(); ++i) {
    const auto& function = details[i];
    const auto quarantine = quarantined.contains(function.address.to_string())
                                ? iommu::quarantine_of(root, function.address)
                                : std::nullopt;
    static const std::vector<iommu::Member> kNone;
    const auto& group = function.iommu_group ? groups.at(*function.iommu_group) : kNone;
    auto answer = iommu::assignable(host, function, users[i], group, quarantine);
    all.push_back({std::move(details[i]), std::move(users[i]), std::move(answer)});
  }
  return all;
}

Json to_json(const DeviceFacts& facts, const iommu::PciNames& names) {
  const auto& function = facts.function;
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
          {"resetMethods", function.reset_methods},
          {"isVf", function.is_vf()},
          {"physfn", optional_address(function.physfn)},
          {"vfIndex", or_null(function.vf_index)},
          {"sriov", sriov_json(function.sriov)},
          {"bars", bars_json(function.bars)},
          {"msiVectors", or_null(function.msi_vectors)},
          {"msixVectors", or_null(function.msix_vectors)},
          {"link", link_json(function)},
          {"powerState", or_null(function.power_state)},
          {"netdevs", function.netdevs},
          {"blockDevices", function.block_devices},
          {"drmNodes", function.drm_nodes},
          {"inUse", users_json(facts.users)},
          {"assignable", assignable_json(facts.assignable)}};
}

std::string id_of(const iommu::Function& function) {
  return fmt::format("{:04x}:{:04x}", function.vendor, function.device);
}

namespace {

std::string join_names(const std::string& vendor, const std::string& device, const iommu::Function& function) {
  if (vendor.empty()) return id_of(function);
  return fmt::format("{} {}", vendor, device.empty() ? fmt::format("[{:04x}]", function.device) : device);
}

}  // namespace

std::string full_name(const iommu::PciNames& names, const iommu::Function& function) {
  return join_names(names.vendor(function.vendor), names.device(function.vendor, function.device), function);
}

std::string short_name(const iommu::PciNames& names, const iommu::Function& function) {
  return join_names(iommu::short_vendor(names.vendor(function.vendor)), names.device(function.vendor, function.device),
                    function);
}

}  // namespace pcivm::cli
