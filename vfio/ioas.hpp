// SPDX-License-Identifier: GPL-2.0-or-later
// The iommufd interface of VFIO: one I/O address space (IOAS) for all devices of a VM, each of which is bound and
// attached by its own descriptor (Linux 6.6; Documentation/userspace-api/iommufd.rst,
// Documentation/driver-api/vfio.rst).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/ioctl.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"

namespace pcivm::vfio {

/// Memory that is mapped while no device is attached is not pinned yet: the first attach() does that, and fails for it.
class Ioas final : public DmaSpace {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Ioas>> create(IoctlPort& port, OpenedVfio opened);

  [[nodiscard]] Result<std::vector<FdRef>> add(OpenedVfio opened) override;
  [[nodiscard]] std::vector<FdRef> files() const override;
  [[nodiscard]] std::optional<FdRef> file_of(Bdf device) const override;
  [[nodiscard]] Result<std::unique_ptr<Device>> open(Bdf device, UnprovenReset unproven) override;
  [[nodiscard]] Result<void> attach(Bdf device) override;
  /// Detached by the kernel, after it has stopped the device: before that, its DMA would be faults in the host's log.
  void close(Bdf device) override;
  [[nodiscard]] Result<void> map(const DmaRun& run) override;
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override;

  /// Ascending; what is outside of them cannot be mapped. Fewer with each device that is attached.
  [[nodiscard]] Result<std::vector<IovaRange>> allowed() const;

 private:
  struct Place {
    OpenedDevice facts;  // one more of its descriptor is with its Device
    OpenedGroup group;   // without descriptor
  };
  Ioas(IoctlPort& port, Fd iommufd) : port_{port}, iommufd_{std::move(iommufd)} {}
  [[nodiscard]] Result<const Place*> find(Bdf device) const;

  IoctlPort& port_;
  Fd iommufd_;  // closed after the devices
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<const Place>> devices_;  // guarded by mutex_; each stays until its close()
  std::uint32_t id_{};
};

}  // namespace pcivm::vfio
