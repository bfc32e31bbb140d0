// SPDX-License-Identifier: GPL-2.0-or-later
// One PCI function of the host as sysfs shows it (Documentation/ABI/testing/sysfs-bus-pci). Plain facts, no handles: a
// Function may be stale the moment after it was read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bdf.hpp"

namespace pcivm::iommu {

/// One base address register with resources assigned by the host.
struct Bar {
  std::uint8_t index{};  ///< 0..5, 6 = expansion ROM
  std::uint64_t address{};
  std::uint64_t size{};
  bool io{false};
  bool wide{false};  ///< 64-bit
  bool prefetchable{false};
  std::vector<std::uint64_t> sizes{};  ///< those it can be given (Resizable BAR); empty = this one only
};

/// Of a function with the SR-IOV capability (a PF).
struct Sriov {
  std::uint16_t total_vfs{};  ///< what the PF driver allows; changes when it binds
  std::uint16_t num_vfs{};
  bool autoprobe{true};  ///< new VFs get their native driver
  // From the capability; root only.
  std::optional<std::uint16_t> hardware_vfs{};  ///< what the hardware allows
  std::optional<std::uint16_t> offset{};        ///< routing ID of the first VF less that of the PF
  std::optional<std::uint16_t> stride{};
  std::optional<std::uint16_t> vf_device{};  ///< device ID of the VFs
  std::vector<Bar> vf_bars{};                ///< of one VF each; the address is that of VF 0
};

/// PCI Express link to what is above the function.
struct Link {
  std::string speed{};  ///< "8.0 GT/s PCIe"
  std::optional<unsigned> width{};
  std::string max_speed{};  ///< that the function can do; empty = unknown
  std::optional<unsigned> max_width{};
  /// It runs slower or narrower than the function can.
  [[nodiscard]] bool below_capability() const;
};

/// Where MSI-X table and pending bits are.
struct MsixPlace {
  std::uint8_t table_bar{};
  std::uint32_t table_offset{};
  std::uint8_t pba_bar{};
  std::uint32_t pba_offset{};
};

/// What `list` reads for each function: identity and ownership.
struct Function {
  Bdf address{};
  std::uint16_t vendor{};
  std::uint16_t device{};
  std::uint16_t subsystem_vendor{};
  std::uint16_t subsystem_device{};
  std::uint32_t class_code{};  ///< 24 bits: base class, subclass, programming interface
  bool is_bridge{false};       ///< header type 1 or 2; by the class alone in a short list
  std::string driver{};        ///< empty = none
  std::optional<std::uint32_t> iommu_group{};
  std::optional<Bdf> physfn{};  ///< set: this is a VF of that PF

  [[nodiscard]] bool is_vf() const { return physfn.has_value(); }
  /// "/sys/bus/pci/devices/0000:01:00.0"
  [[nodiscard]] std::string directory() const;
};

/// What `read_function` reads besides. Absent optionals and empty texts: the host does not say, or not to this user.
struct FunctionDetail : Function {
  std::uint8_t revision{};
  std::string driver_override{};  ///< empty = none
  std::optional<unsigned> numa_node{};
  std::string local_cpus{};                  ///< of that node: "0-7,16-23"
  std::vector<std::string> reset_methods{};  ///< in the kernel's order; empty = the function cannot be reset
  std::optional<Sriov> sriov{};
  std::optional<std::uint16_t> vf_index{};  ///< 0-based, of a VF
  std::vector<Bar> bars{};
  std::string slot{};  ///< physical, "3"
  std::optional<Link> link{};
  std::string power_state{};  ///< "D0", "D3hot"
  bool boot_vga{false};
  std::vector<std::string> netdevs{};
  std::vector<std::string> block_devices{};  ///< whole disks and NVMe namespaces, not partitions
  std::vector<std::string> drm_nodes{};      ///< "card0", "renderD128"
  std::vector<std::string> rdma_devices{};   ///< "mlx5_0"
  // From the capabilities; root only.
  std::optional<unsigned> msi_vectors{};
  std::optional<unsigned> msix_vectors{};
  std::optional<MsixPlace> msix{};
  std::string serial{};     ///< Device Serial Number, "a0-36-9f-ff-ff-3c-2d-10"
  std::string pcie_type{};  ///< "endpoint", "root port", ...; empty also for conventional PCI
  bool no_soft_reset{};     ///< power management keeps its state from D3hot to D0
};

}  // namespace pcivm::iommu
