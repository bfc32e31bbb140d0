// SPDX-License-Identifier: GPL-2.0-or-later
// How an open device is reached: by system calls on the kernel's descriptor, or by messages to a process that serves it
// (vfio-user). What is on top, facts and checks and all users of Device, is the same for both.
#pragma once

#include <linux/vfio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/mapping.hpp"
#include "base/result.hpp"
#include "vfio/region.hpp"

namespace pcivm::vfio {

/// Structures, numbers and errnos are those of <linux/vfio.h>. Any thread. None of it is on the way of an access to
/// what is mapped, or of an interrupt.
class DevicePort {
 public:
  virtual ~DevicePort() = default;
  [[nodiscard]] virtual Result<void> get_info(vfio_device_info& info) = 0;
  /// With room for capabilities; argsz says how much of all that is, and then how much it should be.
  [[nodiscard]] virtual Result<void> get_region_info(FlexibleArgument<vfio_region_info>& info) = 0;
  [[nodiscard]] virtual Result<void> get_irq_info(vfio_irq_info& info) = 0;
  /// `set` says everything but argsz; `events` are eventfds, -1 = none. Other than 0: nothing was enabled, so many
  /// could be.
  [[nodiscard]] virtual Result<int> set_irqs(const vfio_irq_set& set, std::span<const int> events) = 0;
  [[nodiscard]] virtual Result<void> reset() = 0;
  /// Inside of the region `index`, which is `region`.
  [[nodiscard]] virtual Result<void> read(unsigned index, const Region& region, std::uint64_t offset,
                                          std::span<std::byte> data) = 0;
  [[nodiscard]] virtual Result<void> write(unsigned index, const Region& region, std::uint64_t offset,
                                           std::span<const std::byte> data) = 0;
  /// One of its areas, placed on a multiple of `alignment`.
  [[nodiscard]] virtual Result<Mapping> map(unsigned index, const Region& region, Area area,
                                            std::uint64_t alignment) = 0;
};

/// The kernel's. `port` outlives it.
[[nodiscard]] std::unique_ptr<DevicePort> make_kernel_port(IoctlPort& port, Fd device);

}  // namespace pcivm::vfio
