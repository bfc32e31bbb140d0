// SPDX-License-Identifier: GPL-2.0-or-later
// The MSI capability of an assigned function (PCI 3.0, 6.8.1), emulated, with as many vectors as VFIO has of it; VFIO
// programs the real one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vfio/device.hpp"
#include "vmm/msi_vectors.hpp"

namespace pcivm::vmm {

/// Vector i of 2^n is the guest's message with i in the low n bits of its data. A Multiple Message Enable above what
/// the function is capable of becomes that; one that changes while MSI is enabled is as if MSI were disabled meanwhile,
/// for the device must be told by the kernel, which does so as it allocates.
///
/// Not synchronised.
class MsiCapability final {
 public:
  /// Offset of the capability in the device's configuration space; 0 when there is none or VFIO cannot drive it.
  [[nodiscard]] static std::uint16_t find(const vfio::Device& device);

  /// `capability` as found; collaborators outlive the object.
  MsiCapability(const vfio::Device& device, std::uint16_t capability, InterruptRoutes& routes,
                const MsiVectors::Report& report);

  [[nodiscard]] std::uint16_t offset() const { return capability_; }
  [[nodiscard]] bool enabled() const { return vectors_.enabled(); }
  /// True for a byte of configuration space that is emulated here: all but the capability's ID and link.
  [[nodiscard]] bool covers(std::uint16_t offset) const;
  [[nodiscard]] std::byte read(std::uint16_t offset);
  /// Bytes that are not covered are skipped.
  void write(std::uint16_t offset, std::span<const std::byte> data);

  [[nodiscard]] const MsiVectors& vectors() const { return vectors_; }

  /// As after a function reset.
  void reset();

 private:
  static constexpr std::size_t kMostBytes = 0x18;
  [[nodiscard]] std::uint8_t data_offset() const { return wide_ ? 0x0c : 0x08; }
  [[nodiscard]] std::uint8_t mask_offset() const { return wide_ ? 0x10 : 0x0c; }
  [[nodiscard]] std::byte writable(std::size_t at) const;
  [[nodiscard]] unsigned enabled_vectors() const;
  [[nodiscard]] std::vector<MsiVectors::Wanted> wanted() const;
  void limit_vectors();

  std::uint16_t capability_;
  bool wide_;         // 64-bit address
  bool maskable_;     // has mask and pending bits
  unsigned capable_;  // log2 of the vectors
  std::array<std::byte, kMostBytes> bytes_{};
  std::size_t wired_{};  // vectors when they were enabled
  MsiVectors vectors_;
};

}  // namespace pcivm::vmm
