// SPDX-License-Identifier: GPL-2.0-or-later
// Physical slots: what is printed on the machine next to where a card sits (Documentation/ABI/testing/sysfs-bus-pci,
// /sys/bus/pci/slots).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"

namespace pcivm::iommu {

class PhysicalSlots final {
 public:
  /// Empty when no driver of slots (pciehp, acpiphp, pnv_php) has found any.
  [[nodiscard]] static PhysicalSlots read(const SysRoot& root);

  /// The name of the slot that the device is in, "3" or "0-1"; empty = in none that is known. Every function of a
  /// device is in its slot; VFs with a device number of their own are in none.
  [[nodiscard]] std::string of(Bdf function) const;

 private:
  using Place = std::tuple<std::uint32_t, std::uint8_t, std::uint8_t>;  ///< domain, bus, device or kWholeBus
  static constexpr std::uint8_t kWholeBus = 0xff;
  std::map<Place, std::string> names_{};
};

}  // namespace pcivm::iommu
