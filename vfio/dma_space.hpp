// SPDX-License-Identifier: GPL-2.0-or-later
// The assigned devices of a VM and what they may reach by DMA: an I/O address space that is filled range by range. One
// interface for the container with its groups and for iommufd with its devices, so that its users do not see which it
// is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bdf.hpp"
#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "vfio/device.hpp"

namespace pcivm::vfio {

struct OpenedVfio;

/// Both ends included, so that the whole 64-bit space can be said.
struct IovaRange {
  Iova first{};
  Iova last{};
  bool operator==(const IovaRange&) const = default;
};

/// One run of memory to map.
struct DmaRun {
  Iova iova{};
  Hva hva{};
  std::uint64_t length{};
  int file{-1};  ///< that other processes may map, and where in it the run starts
  std::uint64_t file_offset{};
  bool operator==(const DmaRun&) const = default;
};

/// What devices may do with memory; values are bits.
enum class DmaAccess : std::uint8_t { read = 1, write = 2, both = 3 };

/// Another I/O address space for devices of a DmaSpace, which it must not outlive. Any thread. Everything is unmapped
/// when it is destroyed, which it is after its devices have left it.
class DmaDomain {
 public:
  virtual ~DmaDomain() = default;

  /// As DmaSpace::map() and unmap().
  [[nodiscard]] virtual Result<void> map(const DmaRun& run, DmaAccess access) = 0;
  [[nodiscard]] virtual Result<void> unmap(Iova iova, std::uint64_t length) = 0;
};

/// Any thread. Everything is unmapped when the space is destroyed, which it is after its devices; memory stays in place
/// until then or until unmap().
class DmaSpace {
 public:
  virtual ~DmaSpace() = default;

  /// Takes over devices, with their groups, of the same back end. They find the mappings that are there. Returns what
  /// KVM is to be told of before they are opened: groups that are new here, or devices. Errc::busy: a group without
  /// descriptor is not here any more.
  [[nodiscard]] virtual Result<std::vector<FdRef>> add(OpenedVfio opened) = 0;
  /// All of that.
  [[nodiscard]] virtual std::vector<FdRef> files() const = 0;
  /// Of that, what KVM must let go of before the device is closed: none as long as another device of its group is here.
  [[nodiscard]] virtual std::optional<FdRef> file_of(Bdf device) const = 0;
  /// Opens a device and resets it, which takes 0.1 s and more. Fails as Device::open().
  [[nodiscard]] virtual Result<std::unique_ptr<Device>> open(Bdf device, UnprovenReset unproven) = 0;
  /// Lets an open device reach what is mapped, now and later; before that its DMA meets nothing. Fails as map().
  [[nodiscard]] virtual Result<void> attach(Bdf device) = 0;
  /// An empty address space beside that of map(). Errc::refused: a container has one for all its devices.
  [[nodiscard]] virtual Result<std::unique_ptr<DmaDomain>> make_domain() = 0;
  /// Lets a device that is attached reach what is mapped in `domain`, of this space, in place of what it reached
  /// before, or with null what is mapped by map(); there is no moment in between. Fails as map(), and then nothing
  /// changes.
  [[nodiscard]] virtual Result<void> move(Bdf device, const DmaDomain* domain) = 0;
  /// When its Device is gone and KVM knows it no longer: what is left of it, and its group when it was the last one.
  /// The kernel may reset the function in here. Without devices the mappings may be gone.
  virtual void close(Bdf device) = 0;

  /// Makes the memory reachable, readable and writable, and pins it when a device is attached. All three are multiples
  /// of a page. The error says what to change: memlock (Errc::denied), a reserved range (Errc::refused), overlap
  /// (Errc::busy).
  [[nodiscard]] virtual Result<void> map(const DmaRun& run) = 0;
  /// Exactly a range that was mapped, or several whole ones; Errc::kernel when the kernel unmapped less.
  [[nodiscard]] virtual Result<void> unmap(Iova iova, std::uint64_t length) = 0;

  /// No device is left.
  [[nodiscard]] virtual bool empty() const { return files().empty(); }
  /// Memory is to be populated before it is mapped: all of it is pinned. For mediated devices and for those that
  /// processes serve it is not.
  [[nodiscard]] virtual bool pins() const { return true; }
  /// Why a device that another process serves works no more; none as long as it does, and for those of the kernel.
  [[nodiscard]] virtual std::optional<Error> loss(Bdf /*device*/) const { return std::nullopt; }
};

/// The back end that the privileged side chose, with UserSpace on top when a process serves one of the devices; takes
/// the descriptors over. Fails as Container::attach() and Ioas::create(). `port` outlives it.
[[nodiscard]] Result<std::unique_ptr<DmaSpace>> make_dma_space(IoctlPort& port, OpenedVfio opened);

/// Joins runs that continue each other in both spaces: fewer mappings, larger pages. `runs` ascending by IOVA.
[[nodiscard]] std::vector<DmaRun> merge(std::span<const DmaRun> runs);

/// True when one of `ranges` holds the whole of [first, first + length).
[[nodiscard]] bool holds(std::span<const IovaRange> ranges, Iova first, std::uint64_t length);

/// Maps all runs, merged. On an error those already mapped are unmapped again.
[[nodiscard]] Result<void> map_all(DmaSpace& space, std::span<const DmaRun> runs);

}  // namespace pcivm::vfio
