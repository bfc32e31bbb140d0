// SPDX-License-Identifier: GPL-2.0-or-later
// The DMA of devices that other processes serve (vfio-user), beside that of the kernel's devices, if there are any.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/ioctl.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"
#include "vfio/user_client.hpp"

namespace pcivm::vfio {

/// Servers map the files of the guest's RAM: there is no IOMMU between them and it, and nothing is pinned for them.
/// What becomes of one of them is no failure of the space: see loss(). Devices of the kernel are those of a Container
/// or an Ioas, which may come later.
class UserSpace final : public DmaSpace {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DmaSpace>> create(IoctlPort& port, OpenedVfio opened);

  [[nodiscard]] Result<std::vector<FdRef>> add(OpenedVfio opened) override;  ///< of the kernel only
  [[nodiscard]] std::vector<FdRef> files() const override;
  [[nodiscard]] std::optional<FdRef> file_of(Bdf device) const override;
  [[nodiscard]] Result<std::unique_ptr<Device>> open(Bdf device, UnprovenReset unproven) override;
  [[nodiscard]] Result<void> attach(Bdf device) override;
  [[nodiscard]] Result<std::unique_ptr<DmaDomain>> make_domain() override;  ///< refused
  [[nodiscard]] Result<void> move(Bdf device, const DmaDomain* domain) override;
  void close(Bdf device) override;
  [[nodiscard]] Result<void> map(const DmaRun& run) override;
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override;
  [[nodiscard]] bool empty() const override;
  [[nodiscard]] bool pins() const override;
  [[nodiscard]] std::optional<Error> loss(Bdf device) const override;

 private:
  struct Served {
    Served(Bdf function, OpenedServer server, std::string name);
    Bdf address;
    std::string name;
    UserClient client;
  };
  explicit UserSpace(IoctlPort& port) : port_{port} {}
  [[nodiscard]] Served* find(Bdf device) const;
  [[nodiscard]] DmaSpace* kernel() const;

  IoctlPort& port_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Served>> served_;  // guarded by mutex_; each stays until its close()
  std::unique_ptr<DmaSpace> kernel_;  // guarded by mutex_; none = no such device. Stays until the last of them
  std::vector<DmaRun> runs_;          // that are mapped; by whoever maps, one at a time
};

}  // namespace pcivm::vfio
