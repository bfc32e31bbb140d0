// SPDX-License-Identifier: GPL-2.0-or-later
// What firmware does before an operating system runs: an address for every BAR, so that Linux keeps them as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "vmm/pci_device.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

struct DeviceBars {
  std::string name;  ///< for errors
  std::vector<BarRequest> bars;
};

struct BarSite {
  std::size_t device{};  ///< index into what plan_bars() was given
  unsigned bar{};
  bool high{};  ///< `offset` counts from the base of the 64-bit window, else it is the address
  std::uint64_t offset{};
  [[nodiscard]] std::uint64_t address(const platform::Window& window64) const {
    return high ? window64.base.value + offset : offset;
  }
};

struct BarPlan {
  std::vector<BarSite> sites;
  std::uint64_t window64_length{};     ///< 0 = none needed
  std::uint64_t window64_alignment{};  ///< the largest BAR in it
};

/// Largest first, each on its natural boundary, memory BARs at least a page apart (a page can be given to one device
/// only). 64-bit BARs above 16 MiB, and those for which the 32-bit window has no room left, go to the 64-bit window.
/// Errc::invalid when a BAR that needs 32 bits, or an I/O BAR, does not fit; the text names the device.
[[nodiscard]] Result<BarPlan> plan_bars(std::span<const DeviceBars> devices);

}  // namespace pcivm::vmm
