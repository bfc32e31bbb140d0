// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/sharing.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/pci_config.hpp"
#include "iommu/serial.hpp"

namespace pcivm::iommu {

namespace {

using Image = std::span<const std::byte>;

struct Bit {
  std::uint16_t mask;
  const char* name;
};
// REQ_ACS_FLAGS of drivers/iommu/iommu.c.
constexpr std::array<Bit, 4> kRequired{
    {{PCI_ACS_SV, "SV"}, {PCI_ACS_RR, "RR"}, {PCI_ACS_CR, "CR"}, {PCI_ACS_UF, "UF"}}};

constexpr unsigned kConventional = ~0U;

/// Device/Port Type, or kConventional.
unsigned type_of(Image config) {
  const std::size_t express = find_capability(config, PCI_CAP_ID_EXP);
  if (express == 0) return kConventional;
  return (config_u16(config, express + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_TYPE) >> 4U;
}

bool is_bridge(Image config) { return (config_u8(config, PCI_HEADER_TYPE) & 0x7fU) == PCI_HEADER_TYPE_BRIDGE; }

/// As the kernel has it: the header says so, or there is a function with another number.
bool is_multifunction(const SharingMember& member) {
  if (member.is_vf) return false;
  return member.address.function != 0 || (config_u8(member.config, PCI_HEADER_TYPE) & 0x80U) != 0;
}

/// Of one with ACS what it could enforce and does not: what it cannot control it need not (drivers/pci/pci.c,
/// pci_acs_flags_enabled). Nothing = no ACS at all.
std::optional<std::vector<std::string>> not_enforced(Image config) {
  const std::size_t start = find_extended_capability(config, PCI_EXT_CAP_ID_ACS);
  if (start == 0) return std::nullopt;
  const auto able = config_u16(config, start + PCI_ACS_CAP);
  const auto enabled = config_u16(config, start + PCI_ACS_CTRL);
  std::vector<std::string> names;
  for (const auto& [mask, name] : kRequired) {
    if ((able & mask) != 0 && (enabled & mask) == 0) names.emplace_back(name);
  }
  return names;
}

SharingReason lacking(const SharingMember& member, std::string_view what, std::string_view effect) {
  const auto name = member.address.to_string();
  const auto missing = not_enforced(member.config);
  SharingReason reason{.function = member.address};
  if (!missing) {
    for (const auto& bit : kRequired) reason.lacks.emplace_back(bit.name);
    reason.text = fmt::format("{} ({}) has no Access Control Services: {}", name, what, effect);
  } else {
    reason.lacks = *missing;
    reason.text = fmt::format("{} ({}) does not enforce {}: {}", name, what, fmt::join(*missing, ", "), effect);
  }
  return reason;
}

bool isolates(Image config) {
  const auto missing = not_enforced(config);
  return missing && missing->empty();
}

std::optional<SharingReason> reason_of(const SharingMember& member) {
  const auto type = type_of(member.config);
  const auto name = member.address.to_string();
  if (is_bridge(member.config) &&
      (type == kConventional || type == PCI_EXP_TYPE_PCI_BRIDGE || type == PCI_EXP_TYPE_PCIE_BRIDGE)) {
    return SharingReason{.function = member.address,
                         .text = fmt::format("{} is a bridge to conventional PCI: the IOMMU cannot tell apart what is "
                                             "behind it",
                                             name)};
  }
  if (type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM) {
    if (isolates(member.config)) return std::nullopt;
    return lacking(member, type == PCI_EXP_TYPE_ROOT_PORT ? "root port" : "downstream port",
                   "what is below it can reach other devices past the IOMMU");
  }
  if (!is_multifunction(member)) return std::nullopt;
  if (type != kConventional && isolates(member.config)) return std::nullopt;
  return lacking(member, "one function of several", "functions of a device can reach each other past the IOMMU");
}

/// Some member has a companion in its own device, or none of the reasons is about companions.
bool has_companion(std::span<const SharingMember> members, const SharingMember& one) {
  return std::ranges::any_of(members, [&](const SharingMember& other) {
    const auto& a = one.address;
    const auto& b = other.address;
    return a != b && a.domain == b.domain && a.bus == b.bus && a.device == b.device && !other.is_vf;
  });
}

}  // namespace

std::vector<SharingReason> sharing_reasons(std::span<const SharingMember> members) {
  std::vector<SharingReason> reasons;
  if (members.size() < 2) return reasons;
  const auto hidden = [](const SharingMember& member) { return member.config.size() <= PCI_STD_HEADER_SIZEOF; };
  if (std::ranges::any_of(members, hidden)) {
    return {{.text = "why these share a group is in their capabilities, which only root can read"}};
  }
  for (const auto& member : members) {
    auto reason = reason_of(member);
    // Functions of one device matter where two of them are here; bridges and ports always.
    if (reason && (is_bridge(member.config) || has_companion(members, member))) reasons.push_back(std::move(*reason));
  }
  if (reasons.empty()) {
    reasons.push_back({.text = "no capability explains it: an exception of the kernel for these devices, an alias, or "
                               "how the platform is wired"});
  }
  return reasons;
}

std::vector<SharingReason> sharing_reasons(const SysRoot& root, std::span<const Member> members) {
  std::vector<SharingMember> shared;
  if (members.size() < 2) return {};
  for (const auto& [function, role] : members) {
    shared.push_back(
        {.address = function.address, .is_vf = function.is_vf(), .config = read_config(root, function.address)});
  }
  return sharing_reasons(shared);
}

}  // namespace pcivm::iommu
