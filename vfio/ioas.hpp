// SPDX-License-Identifier: GPL-2.0-or-later
// The iommufd interface of VFIO: an I/O address space (IOAS) for all devices of a VM, each of which is bound and
// attached by its own descriptor, and more of them for those that are to reach something else (Linux 6.6;
// Documentation/userspace-api/iommufd.rst, Documentation/driver-api/vfio.rst).
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

/// One IOAS. It takes itself back from the kernel, which fails as long as a device is attached.
class IoasDomain final : public DmaDomain {
 public:
  /// `port` and the owner of `iommufd` outlive it.
  [[nodiscard]] static Result<std::unique_ptr<IoasDomain>> create(IoctlPort& port, FdRef iommufd);
  IoasDomain(const IoasDomain&) = delete;
  IoasDomain& operator=(const IoasDomain&) = delete;
  ~IoasDomain() override;

  [[nodiscard]] std::uint32_t id() const { return id_; }
  [[nodiscard]] Result<void> map(const DmaRun& run, DmaAccess access) override;
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override;
  /// Ascending; what is outside of them cannot be mapped. Fewer with each device that is attached.
  [[nodiscard]] Result<std::vector<IovaRange>> allowed() const;

 private:
  IoasDomain(IoctlPort& port, FdRef iommufd, std::uint32_t id) : port_{port}, iommufd_{iommufd}, id_{id} {}
  IoctlPort& port_;
  FdRef iommufd_;
  std::uint32_t id_;
};

/// Memory that is mapped while no device is attached is not pinned yet: the first attach() does that, and fails for it.
class Ioas final : public DmaSpace {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Ioas>> create(IoctlPort& port, OpenedVfio opened);

  [[nodiscard]] Result<std::vector<FdRef>> add(OpenedVfio opened) override;
  [[nodiscard]] std::vector<FdRef> files() const override;
  [[nodiscard]] std::optional<FdRef> file_of(Bdf device) const override;
  [[nodiscard]] Result<std::unique_ptr<Device>> open(Bdf device, UnprovenReset unproven) override;
  [[nodiscard]] Result<void> attach(Bdf device) override { return move(device, nullptr); }
  [[nodiscard]] Result<std::unique_ptr<DmaDomain>> make_domain() override;
  [[nodiscard]] Result<void> move(Bdf device, const DmaDomain* domain) override;
  /// Detached by the kernel, after it has stopped the device: before that, its DMA would be faults in the host's log.
  void close(Bdf device) override;
  [[nodiscard]] Result<void> map(const DmaRun& run) override { return ram_->map(run, DmaAccess::both); }
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override { return ram_->unmap(iova, length); }
  [[nodiscard]] bool pins() const override;

  /// As IoasDomain::allowed(), of what map() maps in.
  [[nodiscard]] Result<std::vector<IovaRange>> allowed() const { return ram_->allowed(); }

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
  std::unique_ptr<IoasDomain> ram_;                    // where map() maps
};

}  // namespace pcivm::vfio
