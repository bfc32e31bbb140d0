// SPDX-License-Identifier: GPL-2.0-or-later
// An open VFIO PCI device: configuration space, regions, interrupts, reset (Documentation/driver-api/vfio.rst).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/mapping.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "vfio/region.hpp"

namespace pcivm::vfio {

class DevicePort;

/// Values are VFIO_PCI_*_IRQ_INDEX.
enum class Irq : std::uint8_t { intx = 0, msi = 1, msix = 2, error = 3, request = 4 };

struct IrqFacts {
  unsigned count{};         ///< 0 = the device has none of this kind
  bool can_mask{false};     ///< VFIO_IRQ_SET_ACTION_MASK works
  bool automasked{false};   ///< masked by the kernel each time it fires (INTx)
  bool fixed_count{false};  ///< NORESIZE: vectors are added only by disabling all and enabling again (before 6.5)
};

/// That is looked at; larger ones are a mistake.
inline constexpr std::uint64_t kLargestRom = 16 * kMiB;

/// What to do with a device for which the kernel does not promise a reset (VFIO_DEVICE_FLAGS_RESET is clear): it may
/// hold the previous owner's data and even do DMA.
enum class UnprovenReset : std::uint8_t { refuse, allow };

/// Destroying it closes the descriptor, which resets the function again in the kernel. Immutable facts may be read by
/// any thread; read(), write(), map() and the interrupt calls are system calls and may be made by any thread, but the
/// order of interrupt calls is the caller's to keep.
class Device final {
 public:
  static constexpr unsigned kBars = 6;
  static constexpr unsigned kRomRegion = 6;     // VFIO_PCI_ROM_REGION_INDEX
  static constexpr unsigned kConfigRegion = 7;  // VFIO_PCI_CONFIG_REGION_INDEX
  static constexpr unsigned kRegions = 8;       // BARs, ROM, configuration space
  static constexpr unsigned kEveryBar = (1U << kBars) - 1;

  /// VFIO_GROUP_GET_DEVICE_FD and all facts. The kernel resets the function in here (0.1 s and more), which is the one
  /// reset at start: none is made by this process. `group` must be in a container with an IOMMU set. `port` outlives
  /// the object. `name` is the function's address, or the UUID of a mediated device. `vf_token` is the UUID of a PF on
  /// vfio-pci for it and its VFs, empty where none applies. `bars`, one bit each, are those to ask for: the others have
  /// size 0, as the ROM has. Errc::refused = reset not proven, or no PCI device; denied = another VF token; kernel =
  /// does not answer (configuration space is all-ones).
  [[nodiscard]] static Result<std::unique_ptr<Device>> open(IoctlPort& port, FdRef group, const std::string& name,
                                                            std::string_view vf_token = {},
                                                            UnprovenReset unproven = UnprovenReset::refuse,
                                                            unsigned bars = kEveryBar);

  /// The same by the function's own node: VFIO_DEVICE_BIND_IOMMUFD and all facts. `file` is bound to nothing yet. Its
  /// DMA meets nothing before it is attached to an address space.
  [[nodiscard]] static Result<std::unique_ptr<Device>> bind(IoctlPort& port, Fd file, FdRef iommufd,
                                                            const std::string& name, std::string_view vf_token = {},
                                                            UnprovenReset unproven = UnprovenReset::refuse,
                                                            unsigned bars = kEveryBar);

  /// One that is open already, with all facts. `name` is for errors. Fails as open().
  [[nodiscard]] static Result<std::unique_ptr<Device>> adopt(std::unique_ptr<DevicePort> port, std::string name,
                                                             UnprovenReset unproven, unsigned bars = kEveryBar);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device();

  [[nodiscard]] bool resettable() const { return resettable_; }
  [[nodiscard]] const Region& region(unsigned index) const { return regions_.at(index); }
  /// Of INTx, MSI and MSI-X.
  [[nodiscard]] const IrqFacts& irq(Irq kind) const { return irqs_.at(static_cast<std::size_t>(kind)); }
  /// The first 256 bytes of configuration space as VFIO presented them at open or at the last reset(), and the rest
  /// since read_extended().
  [[nodiscard]] std::span<const std::byte> config() const { return config_; }
  /// Reads all of it, 4096 bytes where there are as many. A thousand accesses to the device and more: for who needs it.
  [[nodiscard]] Result<void> read_extended();

  /// Bytes at `offset` of a region; beyond its end is Errc::invalid. Fails with EIO while memory decode is off or the
  /// device is in D3.
  [[nodiscard]] Result<void> read(unsigned region, std::uint64_t offset, std::span<std::byte> data) const;
  [[nodiscard]] Result<void> write(unsigned region, std::uint64_t offset, std::span<const std::byte> data) const;
  /// The expansion ROM, or nothing when the kernel finds none. Turns memory decode on meanwhile, without which it
  /// cannot be read: before anybody uses the device.
  [[nodiscard]] Result<std::vector<std::byte>> read_rom();
  /// Maps one of the region's areas, aligned so that the kernel can use huge entries (6.12 and later).
  [[nodiscard]] Result<Mapping> map(unsigned region, Area area) const;

  /// Sets what vectors start.. signal: one eventfd number each, -1 = none. The first call of a kind enables it, with
  /// start + fds.size() vectors, or none when the host has too few.
  [[nodiscard]] Result<void> set_triggers(Irq kind, unsigned start, std::span<const int> events) const;
  /// The event that tells of the device as a whole, Irq::error or Irq::request, signals `eventfd` from now on. A device
  /// that has no such event does not, which is no failure.
  [[nodiscard]] Result<void> tell(Irq event, FdRef eventfd) const;
  /// Frees all vectors of the kind.
  [[nodiscard]] Result<void> disable(Irq kind) const;
  [[nodiscard]] Result<void> set_masked(Irq kind, bool masked) const;

  /// VFIO_DEVICE_RESET and config() read again. The caller has first taken interrupts, bus mastering and mappings away.
  [[nodiscard]] Result<void> reset();

 private:
  Device(std::unique_ptr<DevicePort> port, std::string name);
  [[nodiscard]] Result<void> read_facts(UnprovenReset unproven, unsigned bars);
  [[nodiscard]] Result<void> read_region(unsigned index);
  [[nodiscard]] Result<void> read_irq(Irq kind);
  [[nodiscard]] Result<void> read_config();
  void keep_out_of_msix();

  std::unique_ptr<DevicePort> port_;
  std::string name_;
  bool resettable_{false};
  std::array<Region, kRegions> regions_;
  std::array<IrqFacts, 3> irqs_{};
  std::vector<std::byte> config_;
};

}  // namespace pcivm::vfio
