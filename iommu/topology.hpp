// SPDX-License-Identifier: GPL-2.0-or-later
// How the host's PCI functions hang together: sockets and NUMA nodes, host bridges, ports, functions, and VFs below
// their PF, with who has them. Plain data for any way of drawing it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::iommu {

enum class Place : std::uint8_t {
  locality,
  host_bridge,
  root_port,
  upstream_port,
  downstream_port,
  bridge,
  function,
  vf
};

/// Who has a function.
enum class Holder : std::uint8_t {
  nobody,   ///< no driver
  host,     ///< a driver of the host; also ports and bridges
  vfio,     ///< a VFIO driver, and no process uses it
  process,  ///< a VM, or another process, has it open
};

struct TopologyNode {
  std::string id{};  ///< unique: a BDF, "pci0000:00" of a host bridge, "node0" of a NUMA node, "no-node"
  Place place{Place::function};
  std::string label{};  ///< of what is no function: "socket 0, NUMA node 0", "host bridge 0000:00"
  std::optional<std::size_t> parent{};
  std::vector<std::size_t> children{};
  std::optional<Function> function{};
  Holder holder{Holder::nobody};
  std::string owner{};  ///< "VM web1 (pid 812)", "eth2", "nvme0n1 (mount)"; empty = nothing to tell
};

/// In depth-first order: a node stands after its parent and before the parent's next child. Siblings by address.
using Topology = std::vector<TopologyNode>;

/// A function and where it was found: what a Topology is made of.
struct PlacedFunction {
  Function function{};
  std::vector<std::string>
      path{};                   ///< from the host bridge to the function itself: {"pci0000:00", "0000:00:01.0", ...}
  std::optional<Place> port{};  ///< by the PCI Express capability of a bridge; none = tell it from its neighbours
  Holder holder{Holder::nobody};
  std::string owner{};
};

/// The NUMA node of a host bridge.
struct Locality {
  std::string host_bridge{};
  std::string id{};
  std::string label{};
};

/// Pure. A function whose PF is absent hangs at its bus; a host bridge without locality is a root.
[[nodiscard]] Topology build_topology(std::vector<PlacedFunction> functions, const std::vector<Locality>& localities);

/// Of this host. Without root, ports are told apart by their neighbours and processes of others are not seen.
[[nodiscard]] Result<Topology> read_topology(const SysRoot& root);

[[nodiscard]] std::string_view to_string(Place place);
[[nodiscard]] std::string_view to_string(Holder holder);

}  // namespace pcivm::iommu
