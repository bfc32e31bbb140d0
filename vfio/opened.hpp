// SPDX-License-Identifier: GPL-2.0-or-later
// The privileged side of device assignment: everything of VFIO that needs a path is opened and read here, before the
// VMM part runs. What comes out are descriptors and plain facts; they may be handed to another process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/mdev.hpp"
#include "vfio/user_message.hpp"

namespace pcivm::vfio {

/// How user space gets at devices and IOMMU: a container of groups, or an iommufd to which devices are bound by their
/// own nodes (Linux 6.6).
enum class IommuBackend : std::uint8_t { container, iommufd };
[[nodiscard]] std::string_view to_string(IommuBackend backend);
/// By that name; none: it is nobody's.
[[nodiscard]] std::optional<IommuBackend> backend_named(std::string_view name);

inline constexpr std::string_view kIommufd{"/dev/iommu"};

/// One IOMMU group, owned through its descriptor: as long as it is open no host driver may bind to a member.
struct OpenedGroup {
  std::uint32_t number{};
  Fd fd;                            ///< none with iommufd: the kernel opens no device of a group that is open
  std::vector<IovaRange> reserved;  ///< guest RAM must stay out of these
  bool firmware_memory{false};      ///< the firmware wants 1:1 mappings (RMRR): the kernel will refuse the group
};

/// A process that serves a device over a socket (vfio-user), connected and agreed with.
struct OpenedServer {
  std::string path;  ///< of its socket, for errors
  Fd socket;
  user::Limits limits{};
};

/// One function or other device to assign. It cannot be used yet: that resets a function, which takes 0.1 s and more,
/// and is done beside the start of the VM (DmaSpace::open).
struct OpenedDevice {
  Bdf address{};
  std::size_t group{};           ///< index into OpenedVfio::groups
  std::vector<iommu::Bar> bars;  ///< index 0..5, sizes and kinds as the host or the device has them; without the ROM
  /// Not the device's, but made for the guest, which finds the MSI-X structures there (msix_bar.hpp).
  std::optional<iommu::Bar> msix_bar{};
  std::string vf_token{};  ///< opens it together with its address (vf_token.hpp); empty = none applies. A secret
  bool reset_forced{};     ///< the operator takes it though its reset is not proven (--force=no-reset)
  bool own_rom{};          ///< the guest finds the device's expansion ROM; else `rom`, or none
  std::vector<std::byte> rom{};
  Fd fd{};                               ///< /dev/vfio/devices/vfioN; none with a container
  std::optional<OpenedServer> server{};  ///< then it is in no group, and its address (user_device.hpp) is nobody's
  std::string mdev{};                    ///< UUID of a mediated device; then its address (mdev.hpp) is nobody's

  /// A PCI function of the host: its DMA goes through the IOMMU, and it is given back when the VM ends.
  [[nodiscard]] bool is_function() const { return !server && mdev.empty(); }
  /// `bars` and `msix_bar`.
  [[nodiscard]] std::vector<iommu::Bar> guest_bars() const;
  /// One bit for each of `bars`; all, of a mediated device that was not asked for them yet.
  [[nodiscard]] unsigned bar_mask() const;
  /// For errors.
  [[nodiscard]] std::string name() const;
};

struct OpenedVfio {
  IommuBackend backend{IommuBackend::container};
  std::string reason{};  ///< why it is not iommufd; empty when it is, or nobody wanted it
  Fd iommu;              ///< /dev/vfio/vfio, no group in it yet, or /dev/iommu
  std::vector<OpenedGroup> groups;
  std::vector<OpenedDevice> devices;  ///< in the order asked for, functions first

  /// Of all groups, sorted: for choosing where guest RAM lies.
  [[nodiscard]] std::vector<IovaRange> reserved() const;
};

/// Opens what functions and mediated devices are assigned by, once: container and groups, or iommufd and devices.
/// Without a `wish` that is iommufd where the host has it for all of them, and a container else. Nothing is changed on
/// the host. Errc::not_found: device, VFIO modules, IOMMU or what is wished for missing; busy: another process has the
/// group or one of its devices (named if it can be seen); refused: a sibling is used by a host driver (listed), not
/// bound to a VFIO driver, or no-IOMMU mode; invalid: a function given twice.
[[nodiscard]] Result<OpenedVfio> open_devices(const SysRoot& root, IoctlPort& port, std::span<const Bdf> addresses,
                                              std::optional<IommuBackend> wish = {}, std::span<const Mdev> mdevs = {});

/// One more function for a VM that runs, with a container or iommufd in case that it has none. Of the groups `held`,
/// of which the VM has devices already, what is returned has the number and no descriptor. Fails as open_devices().
[[nodiscard]] Result<OpenedVfio> open_one_more(const SysRoot& root, IoctlPort& port, Bdf address,
                                               std::span<const std::uint32_t> held, std::optional<IommuBackend> wish);

/// Opens the group's node, asks whether it is viable and closes it. Fails as open_devices().
[[nodiscard]] Result<void> check_group_viable(const SysRoot& root, IoctlPort& port, std::uint32_t number);

}  // namespace pcivm::vfio
