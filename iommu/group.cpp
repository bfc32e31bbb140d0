// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/group.hpp"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kGroups = "/sys/kernel/iommu_groups";

Role role_of(const Function& function) {
  if (function.driver.empty()) return Role::free;
  return leaves_dma_to_user(function.driver) ? Role::managed : Role::blocks;
}

/// "0x00000000fee00000 0x00000000feefffff msi"
std::vector<ReservedRegion> parse_reserved(const std::string& text) {
  std::vector<ReservedRegion> regions;
  std::istringstream lines{text};
  std::string first;
  std::string last;
  std::string type;
  while (lines >> first >> last >> type) {
    const auto from = parse_hex_prefixed<std::uint64_t>(first);
    const auto to = parse_hex_prefixed<std::uint64_t>(last);
    if (from && to) regions.push_back({.first = Iova{*from}, .last = Iova{*to}, .type = type});
  }
  return regions;
}

Result<Group> read_existing(const SysRoot& root, std::uint32_t number) {
  const auto directory = fmt::format("{}/{}", kGroups, number);
  Group group;
  group.number = number;
  group.type = root.read(directory + "/type").value_or("");
  group.reserved = parse_reserved(root.read(directory + "/reserved_regions").value_or(""));
  for (const auto& name : TRY(root.list(directory + "/devices"))) {
    const auto address = Bdf::parse(name);  // groups may also hold platform devices
    const auto function = address ? find(root, *address) : Result<Function>{std::unexpected(address.error())};
    if (function) group.members.push_back({.function = *function, .role = role_of(*function)});
  }
  std::ranges::sort(group.members, {}, [](const Member& member) { return member.function.address; });
  return group;
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::free: return "free";
    case Role::managed: return "managed";
    case Role::blocks: return "blocks";
  }
  return "?";
}

bool Group::viable() const {
  return std::ranges::none_of(members, [](const Member& m) { return m.role == Role::blocks; });
}

bool leaves_dma_to_user(std::string_view driver) {
  // Variant drivers are called mlx5_vfio_pci, hisi-acc-vfio-pci, nvgrace-gpu-vfio-pci, ...
  return driver.find("vfio") != std::string_view::npos || driver == "pci-stub" || driver == "pcieport";
}

std::map<std::uint32_t, std::vector<Member>> members_by_group(std::span<const Function> functions) {
  std::map<std::uint32_t, std::vector<Member>> members;
  for (const auto& function : functions) {
    if (function.iommu_group) members[*function.iommu_group].push_back({function, role_of(function)});
  }
  return members;
}

Result<std::vector<Group>> groups(const SysRoot& root) {
  std::vector<Group> all;
  if (!root.exists(kGroups)) return all;
  for (const auto& name : TRY(root.list(kGroups))) {
    const auto number = parse_decimal<std::uint32_t>(name);
    if (!number) continue;
    // VFs may go, and their groups with them, while this reads.
    if (auto group = read_existing(root, *number)) all.push_back(std::move(*group));
  }
  std::ranges::sort(all, {}, &Group::number);
  return all;
}

Result<Group> read_group(const SysRoot& root, std::uint32_t number) {
  if (!root.exists(fmt::format("{}/{}", kGroups, number))) {
    return fail(Error::make(Errc::not_found, fmt::format("no IOMMU group {}", number))
                    .advise("pcivm group list")
                    .coded("group.not_found"));
  }
  return read_existing(root, number);
}

}  // namespace pcivm::iommu
