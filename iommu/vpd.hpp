// SPDX-License-Identifier: GPL-2.0-or-later
// Vital product data: what the maker wrote into a card about itself (PCI 3.0, appendix I). The card may present
// anything, so nothing is trusted; and reading it is slow on real hardware, where each four bytes wait for the card.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/call_child.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::iommu {

struct VpdField {
  std::string keyword{};  ///< two characters: "EC", "MN", "V0"
  std::string value{};
  bool operator==(const VpdField&) const = default;
};

/// Texts without trailing blanks; bytes that are no printable ASCII stand as "\x1f". Empty = the card does not say.
struct Vpd {
  std::string product{};
  std::string part_number{};          ///< PN
  std::string serial{};               ///< SN
  std::vector<VpdField> fields{};     ///< all others that are text, in the card's order
  std::optional<bool> checksum_ok{};  ///< none = there is no checksum to judge it by
  std::string problem{};              ///< where the data stops making sense: what stands before it was read
  bool operator==(const Vpd&) const = default;
};

/// Reads whatever can be read of `image`.
[[nodiscard]] Vpd parse_vpd(std::span<const std::byte> image);

/// Reads the VPD of functions: on the live host in one child process, so that a card which does not answer costs its
/// deadline and nothing else.
class VpdReader final {
 public:
  /// Nothing when the function has none, or none for this user. Errc::timeout after `deadline`.
  [[nodiscard]] Result<std::optional<Vpd>> read(const SysRoot& root, Bdf address, std::chrono::milliseconds deadline);

 private:
  std::optional<CallChild> child_{};
};

}  // namespace pcivm::iommu
