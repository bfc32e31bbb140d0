// SPDX-License-Identifier: GPL-2.0-or-later
// What the assigned devices of a VM reach while the guest has an IOMMU of its own (virtio 1.2, 5.13): RAM at its own
// addresses, nothing, or what the guest mapped in the domain that a device is in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/dma_space.hpp"
#include "vmm/dma_ready.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::vmm {

/// As the guest knows a device: its address on bus 0.
constexpr std::uint32_t endpoint_in(unsigned slot) { return slot << 3U; }

/// Any thread. Numbers are the guest's, so all of them are judged; answers are VIRTIO_IOMMU_S_*, and after one that is
/// not OK everything is as before, unless the kernel failed in the middle of an unmap. A call waits for the device that
/// it names to be ready (DmaReady), and may pin or release all RAM.
class IommuDomains final {
 public:
  /// Of all domains together, as many as type 1 of VFIO allows (dma_entry_limit): each costs memory here and in the
  /// kernel.
  static constexpr std::size_t kMostMappings = 65535;
  /// What every x86 IOMMU translates: VT-d with tables of three levels.
  static constexpr std::uint64_t kLastAddress = (1ULL << 39U) - 1;

  /// What a device reaches and which addresses its IOMMU keeps for something else.
  struct Endpoint {
    Bdf function{};
    vfio::DmaSpace& space;
    const DmaReady& ready;
    std::vector<vfio::IovaRange> reserved{};
  };

  /// `memory` outlives the object. `report` is told of what the kernel refused, some times; any thread.
  IommuDomains(const GuestMemory& memory, std::function<void(const Error&)> report)
      : memory_{memory}, report_{std::move(report)} {}
  IommuDomains(const IommuDomains&) = delete;
  IommuDomains& operator=(const IommuDomains&) = delete;

  // For who has the devices.

  /// The device reaches RAM already, or will by the time that it is ready. It is in no domain.
  [[nodiscard]] Result<void> add(std::uint32_t endpoint, Endpoint device);
  /// Forgets a device, before it leaves its space. Its domain when it was the last one there, to be kept until then.
  [[nodiscard]] std::unique_ptr<vfio::DmaDomain> remove(Bdf function);

  // For the guest.

  [[nodiscard]] std::uint8_t attach(std::uint32_t domain, std::uint32_t endpoint, bool bypass);
  [[nodiscard]] std::uint8_t detach(std::uint32_t domain, std::uint32_t endpoint);
  /// [first, last] reaches memory at `target`, all of it in one piece of RAM.
  [[nodiscard]] std::uint8_t map(std::uint32_t domain, vfio::IovaRange range, Gpa target, std::uint32_t flags);
  /// All that lies in `range`; what lies in it with a part only is an error.
  [[nodiscard]] std::uint8_t unmap(std::uint32_t domain, vfio::IovaRange range);
  /// None: there is no such endpoint.
  [[nodiscard]] std::optional<std::vector<vfio::IovaRange>> reserved(std::uint32_t endpoint) const;

  /// What a device in no domain reaches: RAM, which it does at power-on, or nothing.
  [[nodiscard]] bool bypass() const;
  void set_bypass(bool on);
  /// No device is in a domain any more.
  void reset();
  /// reset(), and the state of power-on.
  void restart();

 private:
  using Key = std::uint64_t;
  static constexpr Key kNothing = 1ULL << 32U;  // behind the guest's: a domain in which nothing is mapped
  struct Domain {
    std::unique_ptr<vfio::DmaDomain> space;           // null: bypass
    std::map<std::uint64_t, std::uint64_t> mappings;  // first address -> last
    unsigned endpoints{};
  };
  struct Place {
    Endpoint device;
    std::optional<Key> domain;
  };
  [[nodiscard]] std::optional<Key> outside() const { return bypass_ ? std::nullopt : std::optional{kNothing}; }
  [[nodiscard]] Result<void> enter(Place& place, std::optional<Key> to, bool bypass);
  [[nodiscard]] std::unique_ptr<vfio::DmaDomain> leave(Place& place);
  [[nodiscard]] std::optional<Hva> ram_at(Gpa target, std::uint64_t length) const;
  void leave_all();
  std::uint8_t refused(const Error& error);

  const GuestMemory& memory_;
  std::function<void(const Error&)> report_;
  mutable std::mutex mutex_;  // guards all below; then the space's
  unsigned reports_{};
  bool bypass_{true};
  std::map<std::uint32_t, Place> endpoints_;
  std::map<Key, Domain> domains_;  // each with an endpoint at least
  std::size_t mappings_{};
};

}  // namespace pcivm::vmm
