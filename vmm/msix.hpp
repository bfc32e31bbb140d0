// SPDX-License-Identifier: GPL-2.0-or-later
// The MSI-X capability of a function (PCI 3.0, 6.8.2): control word, table and pending bits are emulated. Those of an
// assigned function never reach the device; VFIO programs the real ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vfio/device.hpp"
#include "vmm/bar_decoder.hpp"
#include "vmm/config_patch.hpp"
#include "vmm/message_vectors.hpp"

namespace pcivm::vmm {

/// Where the capability puts its two structures.
struct MsixLayout {
  std::uint16_t capability{};  ///< offset in configuration space
  unsigned entries{};
  BarHole table;
  BarHole pending;

  /// The same in a BAR made for it (vfio/msix_bar.hpp).
  [[nodiscard]] MsixLayout moved_to(unsigned bar) const;
};

/// What the capability's two registers say of it.
[[nodiscard]] MsixRegisters msix_place(const MsixLayout& layout);

/// Reads and validates the capability: both structures inside BARs that exist, not overlapping. Absent when there is no
/// capability; an error when it contradicts the device, in which case the guest must not see it.
[[nodiscard]] Result<std::optional<MsixLayout>> find_msix(const vfio::Device& device);

/// Not synchronised. A guest can neither crash it nor make it keep anything past reset(), whatever it writes.
class Msix final {
 public:
  /// `vectors` outlives the object.
  Msix(const MsixLayout& layout, MessageVectors& vectors);

  [[nodiscard]] const MsixLayout& layout() const { return layout_; }

  /// Message control as the guest sees it; only Enable and Function Mask can be written.
  [[nodiscard]] std::uint16_t control() const { return control_; }
  void write_control(std::uint16_t value);

  /// Offsets from the start of the structure. Aligned accesses of 4 and 8 bytes inside it; others read all-ones and
  /// write nothing, writes to the pending bits as well.
  void read_table(std::uint64_t offset, std::span<std::byte> data) const;
  void write_table(std::uint64_t offset, std::span<const std::byte> data);
  void read_pending(std::uint64_t offset, std::span<std::byte> data);

  /// As after a function reset: disabled, every entry masked and zero, nothing held in the host.
  void reset();

 private:
  struct Entry {
    std::uint32_t words[4]{0, 0, 0, 1};  // address low, high, data, control (bit 0: masked)
  };
  [[nodiscard]] MessageVectors::Wanted wanted(const Entry& entry) const;
  void settle(unsigned first, unsigned count);
  [[nodiscard]] std::uint32_t pending_word(unsigned first);

  MsixLayout layout_;
  std::uint16_t control_;
  std::vector<Entry> entries_;
  MessageVectors& vectors_;
};

}  // namespace pcivm::vmm
