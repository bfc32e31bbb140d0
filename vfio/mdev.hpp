// SPDX-License-Identifier: GPL-2.0-or-later
// Mediated devices: PCI devices that a driver of the host makes up, with a part of the hardware behind them
// (Documentation/driver-api/vfio-mediated-device.rst). Whoever runs the host creates and removes them. They are in IOMMU
// groups of their own without an IOMMU: their driver reaches guest RAM by asking VFIO for what is mapped, and pins what
// it asks for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "iommu/function.hpp"

namespace pcivm::vfio {

enum class IommuBackend : std::uint8_t;

struct Mdev {
  std::string uuid{};
  std::vector<iommu::Bar> bars{};  ///< as the device itself tells them: sysfs does not
};

/// In sysfs.
inline constexpr std::string_view kMdevs{"/sys/bus/mdev/devices"};
[[nodiscard]] std::string mdev_directory(std::string_view uuid);

/// The UUID of the one that `text`, a UUID or its directory in kMdevs, names. Errc::invalid: it is neither; not_found:
/// the host has no such device.
[[nodiscard]] Result<std::string> find_mdev(const SysRoot& root, std::string_view text);

/// Errc::not_found: it is gone, or no VFIO driver has it.
[[nodiscard]] Result<std::uint32_t> mdev_group(const SysRoot& root, std::string_view uuid);

/// What a VM knows its mediated devices by, 0 to 31: an address that is nobody's.
[[nodiscard]] Bdf mdev_address(unsigned index);

/// Opens it, asks what it is and closes it: nobody else may have it. `tell_kvm` hands its group or device to a VM of
/// KVM, which some drivers want to know before they let anybody in; that VM is gone before the device is opened again.
/// Fails as open_devices() and Device::open().
[[nodiscard]] Result<Mdev> read_mdev(const SysRoot& root, IoctlPort& port, const std::string& uuid,
                                     std::optional<IommuBackend> wish,
                                     const std::function<Result<void>(FdRef)>& tell_kvm);

}  // namespace pcivm::vfio
