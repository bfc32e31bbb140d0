// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/config_patch.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/pci_config.hpp"
#include "vfio/region.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint16_t kDwordMask = 3;
constexpr std::uint16_t kExtendedStart = 0x100;
constexpr std::uint8_t kEnhancedAllocation = 0x14;
constexpr std::uint16_t kVfResizableBar = 0x24;

/// How many bytes of a capability are emulated, or watched for what they do to mappings; 0 = it is the device's own.
std::size_t watched_length(std::span<const std::byte> image, const Capability& capability) {
  constexpr std::size_t kExpress = PCI_EXP_LNKSTA + 2;  // what every endpoint has
  switch (capability.id) {
    case PCI_CAP_ID_PM: return PCI_PM_SIZEOF;
    case PCI_CAP_ID_MSI: return msi_length(config_u16(image, std::size_t{capability.offset} + PCI_MSI_FLAGS));
    case PCI_CAP_ID_EXP: return kExpress;
    case PCI_CAP_ID_MSIX: return PCI_CAP_MSIX_SIZEOF;
    case PCI_CAP_ID_AF: return PCI_CAP_AF_SIZEOF;
    default: return 0;
  }
}

/// The registers that are emulated or watched: a driver takes the first of a kind, and so do we.
std::vector<vfio::Area> watched_areas(std::span<const std::byte> image, const std::vector<Capability>& all) {
  std::vector<vfio::Area> areas;
  for (const auto& capability : all) {
    const auto length = watched_length(image, capability);
    const bool first = std::ranges::find(all, capability.id, &Capability::id)->offset == capability.offset;
    if (length != 0 && first) areas.push_back({.offset = capability.offset, .length = length});
  }
  return areas;
}

/// Extended capability and how long it can be; a body ends at the next capability at the latest.
struct Hidden {
  std::uint16_t id;
  std::size_t length;
};
constexpr std::array<Hidden, 7> kHiddenExtended{{
    {PCI_EXT_CAP_ID_SRIOV, 0x40},
    {PCI_EXT_CAP_ID_ARI, 0x08},
    {PCI_EXT_CAP_ID_REBAR, 0x34},
    {kVfResizableBar, 0x34},
    {PCI_EXT_CAP_ID_ATS, 0x08},
    {PCI_EXT_CAP_ID_PRI, 0x10},
    {PCI_EXT_CAP_ID_PASID, 0x08},
}};

/// 0 = not hidden.
std::size_t hidden_length(const Capability& capability, const ConfigPolicy& policy) {
  switch (capability.id) {
    case PCI_CAP_ID_MSI: return policy.hide_msi ? 0x18 : 0;
    case PCI_CAP_ID_MSIX: return policy.hide_msix ? PCI_CAP_MSIX_SIZEOF : 0;
    case kEnhancedAllocation: return kExtendedStart;
    default: return 0;
  }
}

std::size_t hidden_length(const Capability& capability) {
  const auto* const found = std::ranges::find(kHiddenExtended, capability.id, &Hidden::id);
  return found == kHiddenExtended.end() ? 0 : found->length;
}

/// `length`, cut at the next capability above `start` and at `end`.
std::size_t extent(const std::vector<Capability>& all, std::uint16_t start, std::size_t length, std::size_t end) {
  auto stop = std::min<std::size_t>(start + length, end);
  for (const auto& other : all) {
    if (other.offset > start) stop = std::min<std::size_t>(stop, other.offset);
  }
  return stop - start;
}

std::uint32_t byte_mask(std::uint16_t offset) { return 0xffU << (8U * (offset & kDwordMask)); }

}  // namespace

void ConfigPatches::add(std::uint16_t offset, std::uint32_t mask, std::uint32_t value) {
  auto& patch = table_[static_cast<std::uint16_t>(offset & ~kDwordMask)];
  patch.value = (patch.value & ~mask) | (value & mask);
  patch.mask |= mask;
}

void ConfigPatches::hide_body(std::uint16_t start, std::size_t length) {
  for (std::size_t at = 0; at < length; at += 4) add(static_cast<std::uint16_t>(start + at), ~0U, 0);
}

void ConfigPatches::patch_standard_list(std::span<const std::byte> image, const ConfigPolicy& policy) {
  const auto all = capabilities(image);
  const auto watched = watched_areas(image, all);
  std::vector<Capability> kept;
  for (const auto& capability : all) {
    const auto begins = [&](const vfio::Area& area) { return area.offset == capability.offset; };
    const auto elsewhere = [&](std::size_t at) {
      return std::ranges::any_of(
          watched, [&](const vfio::Area& area) { return !begins(area) && at >= area.offset && at < area.end(); });
    };
    // A second one would be a way around the first; a link among registers changes with them.
    const bool again = watched_length(image, capability) != 0 && std::ranges::none_of(watched, begins);
    const bool shown = !again && !elsewhere(capability.offset);
    const auto length = shown ? hidden_length(capability, policy) : kExtendedStart;
    if (length == 0) {
      kept.push_back(capability);
      continue;
    }
    const auto end = capability.offset + extent(all, capability.offset, length, kExtendedStart);
    for (std::size_t at = capability.offset; at < end; at += 4) {
      if (!elsewhere(at)) add(static_cast<std::uint16_t>(at), ~0U, 0);
    }
  }
  // Every link is written anew, so that the guest walks exactly what was walked here.
  std::uint16_t link = PCI_CAPABILITY_LIST;
  for (const auto& capability : kept) {
    add(link, byte_mask(link), std::uint32_t{capability.offset} << (8U * (link & kDwordMask)));
    link = static_cast<std::uint16_t>(capability.offset + PCI_CAP_LIST_NEXT);
  }
  add(link, byte_mask(link), 0);
}

void ConfigPatches::extend(std::span<const std::byte> image) {
  constexpr std::uint32_t kNextMask = 0xfff00000U;
  const auto all = extended_capabilities(image);
  if (all.empty()) {
    // All-ones or nothing at 0x100: an empty list is all-zero.
    if (image.size() > kExtendedStart) add(kExtendedStart, ~0U, 0);
    return;
  }
  std::vector<Capability> kept;
  for (const auto& capability : all) {
    const auto length = hidden_length(capability);
    if (length != 0) hide_body(capability.offset, extent(all, capability.offset, length, image.size()));
    // The list starts at 0x100 by definition: a hidden first entry stays as a null capability (ID 0, version 0).
    if (length == 0 || capability.offset == kExtendedStart) kept.push_back(capability);
  }
  for (std::size_t index = 0; index < kept.size(); ++index) {
    const std::uint32_t next = index + 1 < kept.size() ? kept[index + 1].offset : 0U;
    add(kept[index].offset, kNextMask, next << 20U);
  }
}

ConfigPatches ConfigPatches::build(std::span<const std::byte> image, const ConfigPolicy& policy) {
  constexpr std::uint32_t kMultifunction = 0x00800000;  // bit 7 of the header type at 0x0e
  ConfigPatches patches;
  patches.patch_standard_list(image, policy);
  patches.add(PCI_CACHE_LINE_SIZE, kMultifunction, 0);
  patches.add(PCI_ROM_ADDRESS, ~0U, 0);
  if (const auto msix = find_capability(image, PCI_CAP_ID_MSIX); policy.msix && msix != 0) {
    patches.add(static_cast<std::uint16_t>(msix + PCI_MSIX_TABLE), ~0U, policy.msix->table);
    patches.add(static_cast<std::uint16_t>(msix + PCI_MSIX_PBA), ~0U, policy.msix->pending);
  }
  if (policy.hide_intx) patches.add(PCI_INTERRUPT_PIN, byte_mask(PCI_INTERRUPT_PIN), 0);
  return patches;
}

void ConfigPatches::apply(std::uint16_t offset, std::span<std::byte> data) const {
  for (std::size_t index = 0; index < data.size(); ++index) {
    const auto at = static_cast<std::uint16_t>(offset + index);
    const auto found = table_.find(static_cast<std::uint16_t>(at & ~kDwordMask));
    if (found == table_.end()) continue;
    const auto shift = 8U * (at & kDwordMask);
    const auto mask = static_cast<std::byte>(found->second.mask >> shift & 0xffU);
    const auto value = static_cast<std::byte>(found->second.value >> shift & 0xffU);
    data[index] = (data[index] & ~mask) | (value & mask);
  }
}

bool ConfigPatches::writable(std::uint16_t offset) const {
  const auto found = table_.find(static_cast<std::uint16_t>(offset & ~kDwordMask));
  return found == table_.end() || (found->second.mask & byte_mask(offset)) == 0;
}

}  // namespace pcivm::vmm
