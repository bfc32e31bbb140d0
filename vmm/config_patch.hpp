// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest sees of an assigned function's configuration space: the hardware's value with some bits replaced. The
// table is built from the image, and everything hidden is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

namespace pcivm::vmm {

/// Bits of one dword that read as `value` whatever the hardware says. A byte with a patched bit ignores writes.
struct ConfigPatch {
  std::uint32_t mask{};
  std::uint32_t value{};
  bool operator==(const ConfigPatch&) const = default;
};

/// Table Offset/BIR and PBA Offset/BIR.
struct MsixRegisters {
  std::uint32_t table{};
  std::uint32_t pending{};
};

/// What is decided for one function; the rest is hidden always: SR-IOV, ARI, Resizable BAR, ATS, PRI and PASID (they
/// need host resources or a virtual IOMMU), Enhanced Allocation (it tells host addresses), the ROM BAR, the
/// multi-function bit.
struct ConfigPolicy {
  bool hide_msix{false};
  bool hide_msi{false};
  bool hide_intx{false};
  std::optional<MsixRegisters> msix{};  ///< instead of what the capability says
};

/// Not more than one patch a dword.
class ConfigPatches final {
 public:
  /// Of the first 256 bytes of `image`. A malformed capability list is cut where the bounded walk ends
  /// (base/pci_config.hpp), so that the guest never walks what we did not.
  [[nodiscard]] static ConfigPatches build(std::span<const std::byte> image, const ConfigPolicy& policy);
  /// Of the rest of its 4096 bytes, before the guest reads any of them.
  void extend(std::span<const std::byte> image);

  /// Replaces bits in what was read at `offset`; any offset and length.
  void apply(std::uint16_t offset, std::span<std::byte> data) const;
  /// False for a byte of which a bit is patched.
  [[nodiscard]] bool writable(std::uint16_t offset) const;

  /// By offset of the dword.
  [[nodiscard]] const std::map<std::uint16_t, ConfigPatch>& table() const { return table_; }

 private:
  void add(std::uint16_t offset, std::uint32_t mask, std::uint32_t value);
  void hide_body(std::uint16_t start, std::size_t length);
  void patch_standard_list(std::span<const std::byte> image, const ConfigPolicy& policy);

  std::map<std::uint16_t, ConfigPatch> table_;
};

}  // namespace pcivm::vmm
