// SPDX-License-Identifier: GPL-2.0-or-later
// The privileged side of device assignment: everything of VFIO that needs a path is opened and read here, before the
// VMM part runs. What comes out are descriptors and plain facts; they may be handed to another process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"
#include "vfio/dma_space.hpp"

namespace pcivm::vfio {

/// One IOMMU group, owned through its descriptor: as long as it is open no host driver may bind to a member.
struct OpenedGroup {
  std::uint32_t number{};
  Fd fd;
  std::vector<IovaRange> reserved;  ///< guest RAM must stay out of these
  bool firmware_memory{false};      ///< the firmware wants 1:1 mappings (RMRR): the kernel will refuse the group
};

/// One function to assign. Its device descriptor does not exist yet: getting it resets the function, which takes
/// 0.1 s and more, and is done beside the start of the VM (Device::open).
struct OpenedDevice {
  Bdf address{};
  std::size_t group{};           ///< index into OpenedVfio::groups
  std::vector<iommu::Bar> bars;  ///< index 0..5, sizes and kinds as the host assigned them; the ROM is left out
  std::string vf_token{};        ///< opens it together with its address (vf_token.hpp); empty = none applies. A secret
  bool reset_forced{};           ///< the operator takes it though its reset is not proven (--force=no-reset)
};

struct OpenedVfio {
  Fd container;  ///< /dev/vfio/vfio, no group in it yet
  std::vector<OpenedGroup> groups;
  std::vector<OpenedDevice> devices;  ///< in the order asked for

  /// Of all groups, sorted: for choosing where guest RAM lies.
  [[nodiscard]] std::vector<IovaRange> reserved() const;
};

/// Opens the container and the group of each function, once. Nothing is changed on the host.
/// Errc::not_found: function, VFIO modules or IOMMU missing; busy: another process has the group (named if it can be
/// seen); refused: a sibling is used by a host driver (listed), not bound to a VFIO driver, or no-IOMMU mode;
/// invalid: a function given twice.
[[nodiscard]] Result<OpenedVfio> open_devices(const SysRoot& root, IoctlPort& port, std::span<const Bdf> addresses);

/// One more function for a VM that runs, with a container in case that it has none. Of the groups `held`, which the VM
/// has open already, what is returned has the number and no descriptor. Fails as open_devices().
[[nodiscard]] Result<OpenedVfio> open_one_more(const SysRoot& root, IoctlPort& port, Bdf address,
                                               std::span<const std::uint32_t> held);

/// Opens the group's node, asks whether it is viable and closes it. Fails as open_devices().
[[nodiscard]] Result<void> check_group_viable(const SysRoot& root, IoctlPort& port, std::uint32_t number);

}  // namespace pcivm::vfio
