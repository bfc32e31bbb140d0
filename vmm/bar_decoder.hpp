// SPDX-License-Identifier: GPL-2.0-or-later
// Where the BARs of an assigned function lie in the guest at this moment: KVM slots for what the device lets us map,
// bus ranges for what is trapped.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/mapping.hpp"
#include "base/result.hpp"
#include "vfio/device.hpp"
#include "vmm/assigned_wiring.hpp"
#include "vmm/bar_registers.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

/// Who answers a trapped access. Any thread; `offset` is inside the BAR, the end of the access may be outside.
class BarAccess {
 public:
  virtual ~BarAccess() = default;
  virtual void bar_read(unsigned bar, std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void bar_write(unsigned bar, std::uint64_t offset, std::span<const std::byte> data) = 0;
};

/// Part of a BAR that must trap although the device would let it be mapped: MSI-X table and pending bits.
struct BarHole {
  unsigned bar{};
  vfio::Area area;
};

/// Not synchronised, except that trapped accesses come on any thread. Destroying it leaves nothing mapped.
class BarDecoder final {
 public:
  /// `device`, `wiring` and `access` outlive the object. The areas of a BAR are mapped into this process when it is
  /// decoded for the first time; one that cannot be is reported and trapped.
  BarDecoder(const vfio::Device& device, std::span<const BarRequest> requests, std::span<const BarHole> holes,
             const AssignedWiring& wiring, BarAccess& access, const std::string& name);
  BarDecoder(const BarDecoder&) = delete;
  BarDecoder& operator=(const BarDecoder&) = delete;
  ~BarDecoder();

  /// Brings the guest's address space in line with the registers: first everything out that moved or is off, then in
  /// what is new, so that BARs can swap places. An address that may not be decoded, or where something else is, leaves
  /// that BAR out until the next call. What did not change costs nothing.
  void decode(const BarRegisters& registers, bool memory, bool io);
  /// Everything out.
  void clear();

 private:
  struct Window {
    Mapping host;
    std::uint64_t offset{};  // in the BAR
  };
  class Bar;
  [[nodiscard]] std::optional<std::uint64_t> wanted(const Bar& bar, const BarRegisters& registers, bool memory,
                                                    bool io) const;
  void take_out(Bar& bar);
  void put_in(Bar& bar, std::uint64_t address);
  void map(Bar& bar);
  void add_slots(Bar& bar, std::uint64_t address);
  void add_peer(Bar& bar, const vfio::DmaRun& run);
  [[nodiscard]] IoBus& bus_of(const Bar& bar) const;

  const vfio::Device& device_;
  const AssignedWiring& wiring_;
  std::string name_;
  bool peers_refused_{};
  std::vector<std::unique_ptr<Bar>> bars_;  // the buses hold their addresses
};

}  // namespace pcivm::vmm
