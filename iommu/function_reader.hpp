// SPDX-License-Identifier: GPL-2.0-or-later
// Reads functions from one open directory of sysfs. For the inventory, which offers it to the rest.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/sysdir.hpp"
#include "iommu/function.hpp"
#include "iommu/slots.hpp"

namespace pcivm::iommu {

/// What belongs to functions and is found by another way than through them; read once for all.
struct Owned {
  using Names = std::map<Bdf, std::vector<std::string>>;
  Names netdevs{};
  Names disks{};
  Names drm_nodes{};
  Names rdma_devices{};
  PhysicalSlots slots{};

  [[nodiscard]] static Owned read(const SysRoot& root);
};

class FunctionReader final {
 public:
  /// Errc::not_found on a host without PCI.
  [[nodiscard]] static Result<FunctionReader> open(const SysRoot& root);

  /// Five system calls, four for a bridge. Nothing for an absent function.
  [[nodiscard]] std::optional<Function> function(Bdf address);
  /// Of FunctionDetail the BARs alone: one system call more than function(), and no access to the device.
  [[nodiscard]] std::vector<Bar> bars(const Function& function);
  /// Twelve more, four more of a PF; what stands for a whole bus or node is read once. `vfs` are those of the function
  /// when it is a PF, of its PF when it is a VF; by index.
  [[nodiscard]] FunctionDetail detail(const Function& function, const std::vector<Bdf>& vfs, const Owned& owned);

 private:
  struct Locality {
    std::optional<unsigned> node{};
    std::string cpus{};
  };
  FunctionReader(const SysRoot& root, SysDir devices) : root_{&root}, devices_{std::move(devices)} {}
  std::string read(const std::string& function, std::string_view file);
  Locality locality(Bdf address);
  std::optional<Link> read_link(const std::string& function);

  const SysRoot* root_;
  SysDir devices_;
  std::map<std::pair<std::uint32_t, std::uint8_t>, Locality> localities_{};  ///< by domain and bus
};

}  // namespace pcivm::iommu
