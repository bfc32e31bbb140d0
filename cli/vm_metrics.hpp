// SPDX-License-Identifier: GPL-2.0-or-later
// Figures of a running VM in the text format of Prometheus.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/console_hub.hpp"
#include "cli/vm_figures.hpp"

namespace pcivm::cli {

/// What a function of the VM, or the host about it, told since the VM was started.
struct DeviceEvents {
  std::string device{};      ///< its address
  std::uint64_t errors{};    ///< uncorrectable ones (PCIe AER)
  std::uint64_t requests{};  ///< the host wanted it back
  std::string last_at{};     ///< RFC 3339; empty: nothing
};

struct VmMetrics {
  std::string name{};
  bool running{};
  double uptime_seconds{};
  unsigned cpus{};
  std::uint64_t memory{};
  ConsoleHub::Figures console{};
  std::vector<std::string> ports{};  ///< names, in order
  std::vector<DeviceEvents> events{};
  bool answered{};      ///< the VMM told its own figures
  VmFigures figures{};  ///< unknown names are left out
};

[[nodiscard]] std::string metrics_text(const VmMetrics& metrics);

}  // namespace pcivm::cli
