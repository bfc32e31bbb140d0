// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/device_facts.hpp"

#include <fmt/format.h>

#include "iommu/inventory.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::cli {

namespace {

bool has_token(const SysRoot& root, const iommu::FunctionDetail& function) {
  return function.sriov && vfio::has_vf_token(root, function.address);
}

}  // namespace

Result<DeviceFacts> device_facts(const SysRoot& root, Bdf address) {
  DeviceFacts facts;
  facts.function = TRY(iommu::read_function(root, address));
  facts.users = TRY(iommu::users_of(root, address));
  facts.assignable = TRY(iommu::assignable(root, iommu::read_host_caps(root), facts.function, facts.users));
  facts.has_vf_token = has_token(root, facts.function);
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
    const bool token = has_token(root, function);
    all.push_back({std::move(details[i]), std::move(users[i]), std::move(answer), token});
  }
  return all;
}

DeviceDetails device_details(const SysRoot& root, const iommu::FunctionDetail& function,
                             std::chrono::milliseconds deadline) {
  DeviceDetails details{.record = iommu::read_record(root, function, deadline), .group = {}, .sharing = {}};
  if (!function.iommu_group) return details;
  if (auto group = iommu::read_group(root, *function.iommu_group)) {
    details.sharing = iommu::sharing_reasons(root, group->members);
    details.group = std::move(*group);
  }
  return details;
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
