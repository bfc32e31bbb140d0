// SPDX-License-Identifier: GPL-2.0-or-later
// The container and group interface of VFIO: one I/O address space for all groups of a VM (type1, <linux/vfio.h>).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "vfio/dma_space.hpp"
#include "vfio/opened.hpp"

namespace pcivm::vfio {

/// Any thread. Owns the container's and the groups' descriptors: destroy it after the devices of these groups.
class Container final : public DmaSpace {
 public:
  /// Joins the groups and sets the IOMMU once. Between this and Device::open the KVM VFIO device is told of the groups
  /// (group()). Errc::refused: the IOMMU does not isolate interrupts, or firmware keeps memory of the device;
  /// not_found: no type1v2 IOMMU; busy: a group is in another container. `port` outlives the object.
  [[nodiscard]] static Result<std::unique_ptr<Container>> attach(IoctlPort& port, Fd container,
                                                                 std::vector<OpenedGroup> groups);

  /// One more group, which finds the mappings that are there. Fails as attach(), and the container is as before.
  [[nodiscard]] Result<void> add(OpenedGroup group);
  /// Closes the group with that number, whose devices are closed. Not the last one: destroy the container.
  void remove(std::uint32_t number);

  /// By its number; absent when it is not in here.
  [[nodiscard]] std::optional<FdRef> group(std::uint32_t number) const;
  [[nodiscard]] std::vector<std::uint32_t> groups() const;

  [[nodiscard]] Result<void> map(const DmaRun& run) override;
  [[nodiscard]] Result<void> unmap(Iova iova, std::uint64_t length) override;
  [[nodiscard]] std::span<const IovaRange> allowed() const override { return allowed_; }
  [[nodiscard]] std::uint64_t page_size() const override { return page_size_; }
  [[nodiscard]] DmaCounters counters() const override;
  /// How many more mappings the kernel allows; absent when it does not say (before 5.10).
  [[nodiscard]] std::optional<std::uint32_t> mappings_left() const { return mappings_left_; }

 private:
  Container(IoctlPort& port, Fd container, std::vector<OpenedGroup> groups)
      : port_{port}, container_{std::move(container)}, groups_{std::move(groups)} {}
  [[nodiscard]] Result<void> join(const OpenedGroup& group);
  [[nodiscard]] Result<void> set_iommu();
  [[nodiscard]] Result<void> read_info();
  void read_capabilities(std::span<const std::byte> info, std::uint32_t first);

  IoctlPort& port_;
  Fd container_;  // closed after the groups have left it
  mutable std::mutex mutex_;
  std::vector<OpenedGroup> groups_;  // guarded by mutex_
  std::vector<IovaRange> allowed_;
  std::uint64_t page_size_{kPageSize};
  std::optional<std::uint32_t> mappings_left_;
  std::atomic<std::uint64_t> maps_{0};
  std::atomic<std::uint64_t> unmaps_{0};
  std::atomic<std::uint64_t> mapped_bytes_{0};
};

}  // namespace pcivm::vfio
