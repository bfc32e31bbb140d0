// SPDX-License-Identifier: GPL-2.0-or-later
// How a function is reset between two users, and whether that reset is proven to leave nothing of the first one. Reads
// only. The kernel tries the methods of reset_method in order and takes the first that works (drivers/pci/pci.c,
// __pci_reset_function_locked), also when VFIO opens and closes a device.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

/// A device whose reset is known to fail, whatever the kernel offers.
struct KnownBadReset {
  std::uint16_t vendor{};
  std::uint16_t device{};
  std::string_view method{};  ///< "any", or the one that is bad
  std::string_view what{};    ///< what happens
  std::string_view source{};  ///< who says so
};
[[nodiscard]] std::span<const KnownBadReset> known_bad_resets();

struct ResetPolicy {
  std::vector<std::string> methods{};  ///< enabled, in the kernel's order
  bool proven{};                       ///< of the first of them
  std::string reason{};                ///< why not proven; empty otherwise
};

/// Proven: flr, af_flr, pm without No_Soft_Reset (PCI Power Management 1.2, 3.2.4), device_specific, acpi. Unproven:
/// bus and cxl_bus (they reset the link, and some devices come back with their old state or not at all), no method, and
/// the table of known bad ones. Errc::not_found for an absent function.
[[nodiscard]] Result<ResetPolicy> reset_policy(const SysRoot& root, Bdf function);

/// The same of one method that the operator names.
[[nodiscard]] Result<ResetPolicy> reset_policy(const SysRoot& root, Bdf function, const std::string& method);

/// The same of what was read already.
[[nodiscard]] ResetPolicy reset_policy(const FunctionDetail& function);

/// All other functions on the function's bus, which a reset of that bus hits too.
[[nodiscard]] std::vector<Bdf> bus_siblings(const SysRoot& root, Bdf function);

}  // namespace pcivm::iommu
