// SPDX-License-Identifier: GPL-2.0-or-later
// What is told of one function alone, because it is slow, may block, or takes many reads: beside FunctionDetail.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ioctl.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"
#include "iommu/vpd.hpp"

namespace pcivm::iommu {

// Empty texts and absent optionals: not known.
struct NetdevFacts {
  std::string name{};
  std::string mac{};
  std::string permanent_mac{};
  std::string state{};  ///< "up", "down", "lowerlayerdown", ...
  std::optional<unsigned> mtu{};
  std::optional<unsigned> speed{};  ///< Mbit/s; none while there is no link
  unsigned receive_queues{};        ///< in use now
  unsigned transmit_queues{};
};

struct DiskFacts {
  std::string name{};
  std::uint64_t size{};
  std::string model{};
};

struct NvmeFacts {
  std::string name{};  ///< of the controller, "nvme0"
  std::string model{};
  std::string serial{};
  std::string firmware{};
  std::string state{};  ///< "live"
};

/// Errors that the function or the port has reported since it was found (Advanced Error Reporting).
struct ErrorCounts {
  std::uint64_t correctable{};
  std::uint64_t nonfatal{};
  std::uint64_t fatal{};
};

struct DeviceRecord {
  std::optional<Vpd> vpd{};
  std::string vpd_missing{};  ///< why it could not be read
  std::string label{};        ///< by the firmware: "Embedded NIC 1"
  std::optional<unsigned> acpi_index{};
  std::optional<bool> ari{};  ///< of the bus that it is on
  std::optional<bool> d3cold_allowed{};
  std::string runtime_status{};  ///< "active", "suspended"
  std::string power_control{};   ///< "on" = stays powered, "auto" = sleeps when idle
  std::optional<ErrorCounts> errors{};
  std::vector<NetdevFacts> netdevs{};
  std::vector<DiskFacts> disks{};
  std::vector<NvmeFacts> nvme{};
  std::vector<std::string> sound_nodes{};
  std::vector<std::string> serial_ports{};
};

/// On the live host, what may block is read in a child process and given up after `deadline` each.
[[nodiscard]] DeviceRecord read_record(const SysRoot& root, const FunctionDetail& function,
                                       std::chrono::milliseconds deadline);

/// By ETHTOOL_GPERMADDR, which waits for the lock of all network configuration; empty when there is none.
[[nodiscard]] std::string permanent_mac(IoctlPort& port, const std::string& netdev);

}  // namespace pcivm::iommu
