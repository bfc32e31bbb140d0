// SPDX-License-Identifier: GPL-2.0-or-later
// The container and group interface of VFIO: one I/O address space for all groups of a VM (type1, <linux/vfio.h>).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"

namespace pcivm::vfio {

struct DmaCounters {
  std::uint64_t maps{};
  std::uint64_t unmaps{};
  std::uint64_t mapped_bytes{};  ///< at present
};

class Container final : public DmaSpace {
 public:
  /// Joins the groups and sets the IOMMU once: what attach() does elsewhere. Errc::refused: the IOMMU does not isolate
  /// interrupts, or firmware keeps memory of the device; not_found: no type1v2 IOMMU; busy: a group is in another
  /// container.
  [[nodiscard]] static Result<std::unique_ptr<Container>> attach(IoctlPort& port, OpenedVfio opened);

  [[nodiscard]] Result<std::vector<FdRef>> add(OpenedVfio opened) override;
  [[nodiscard]] std::vector<FdRef> files() const override;
  [[nodiscard]] std::optional<FdRef> file_of(Bdf device) const override;
  [[nodiscard]] Result<std::unique_ptr<Device>> open(Bdf device, UnprovenReset unproven) override;
  [[nodiscard]] Result<void> attach(Bdf /*device*/) override { return {}; }
  [[nodiscard]] Result<std::unique_ptr<DmaDomain>> make_domain() override;
  [[nodiscard]] Result<void> move(Bdf device, const DmaDomain* domain) override;
  void close(Bdf device) override;
  [[nodiscard]] Result<void> map(const DmaRun& run) override;
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override;
  [[nodiscard]] bool pins() const override;

  /// Ascending; what is outside of them cannot be mapped. Empty: the kernel does not say (before 5.4).
  [[nodiscard]] Result<std::vector<IovaRange>> allowed() const;
  [[nodiscard]] DmaCounters counters() const;

 private:
  /// A device with its group by number.
  struct Place {
    OpenedDevice facts;
    std::uint32_t group{};
  };
  Container(IoctlPort& port, Fd container) : port_{port}, container_{std::move(container)} {}
  [[nodiscard]] Result<void> set_iommu();
  [[nodiscard]] Error explain_join(Error error, const OpenedGroup& group) const;

  IoctlPort& port_;
  Fd container_;  // closed after the groups have left it
  mutable std::mutex mutex_;
  std::vector<OpenedGroup> groups_;  // guarded by mutex_
  std::vector<Place> devices_;       // guarded by mutex_
  std::atomic<std::uint64_t> maps_{0};
  std::atomic<std::uint64_t> unmaps_{0};
  std::atomic<std::uint64_t> mapped_bytes_{0};
};

}  // namespace pcivm::vfio
