// SPDX-License-Identifier: GPL-2.0-or-later
// IOMMU groups: the smallest sets of functions that the IOMMU can isolate from each other. Membership is the kernel's
// word (/sys/kernel/iommu_groups); group numbers change across boots and are never stored.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "base/units.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

/// Why a member does or does not keep user space from owning the group.
enum class Role : std::uint8_t {
  free,     ///< no driver
  managed,  ///< its driver leaves DMA to user space: vfio-*, pci-stub, pcieport
  blocks,   ///< a native driver does DMA
};

[[nodiscard]] std::string_view to_string(Role role);

struct Member {
  Function function{};
  Role role{Role::free};
};

/// I/O virtual addresses that the IOMMU or the platform keeps.
struct ReservedRegion {
  Iova first{};
  Iova last{};         ///< inclusive
  std::string type{};  ///< "direct", "direct-relaxable", "reserved", "msi"
};

struct Group {
  std::uint32_t number{};
  std::string type{};  ///< default domain: "DMA", "DMA-FQ", "identity", ...; empty = unreadable
  std::vector<Member> members{};
  std::vector<ReservedRegion> reserved{};
  /// True when no member blocks, which is when the kernel lets VFIO own the group.
  [[nodiscard]] bool viable() const;
};

/// True for drivers with driver_managed_dma (linux/device/driver.h) that are known by name.
[[nodiscard]] bool leaves_dma_to_user(std::string_view driver);

/// Members of each group among `functions`, in their order.
[[nodiscard]] std::map<std::uint32_t, std::vector<Member>> members_by_group(std::span<const Function> functions);

/// Sorted by number; empty on a host without an IOMMU.
[[nodiscard]] Result<std::vector<Group>> groups(const SysRoot& root);

/// Errc::not_found for an absent group.
[[nodiscard]] Result<Group> read_group(const SysRoot& root, std::uint32_t number);

}  // namespace pcivm::iommu
