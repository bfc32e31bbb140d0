// SPDX-License-Identifier: GPL-2.0-or-later
// Functions that the host's consoles are on: the firmware's framebuffer inside a BAR, a framebuffer with a terminal on
// it, a serial port.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/sysroot.hpp"
#include "iommu/in_use.hpp"

namespace pcivm::iommu {

/// Read once for the whole host.
class ConsoleUse final {
 public:
  [[nodiscard]] static ConsoleUse read(const SysRoot& root);
  /// `framebuffers` and `serial_ports` are the function's own (class_devices).
  [[nodiscard]] std::vector<InUse> of(Bdf function, const std::vector<std::string>& framebuffers,
                                      const std::vector<std::string>& serial_ports) const;

 private:
  std::map<Bdf, std::string> claims_;  ///< by function: who has a piece of its BARs, "efifb"
  bool terminal_on_framebuffer_{};     ///< fbcon is in charge of the terminals
  std::set<std::string> consoles_;     ///< devices that kernel messages go to, "ttyS4"
};

}  // namespace pcivm::iommu
