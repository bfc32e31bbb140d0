// SPDX-License-Identifier: GPL-2.0-or-later
// The address of a PCI function: domain, bus, device, function (PCI Express Base 6.0, 7.2).
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace pcivm {

struct Bdf {
  std::uint32_t domain{};  ///< 16 bits on most hosts, up to 32 for VMD and Hyper-V domains
  std::uint8_t bus{};
  std::uint8_t device{};    ///< 0..31
  std::uint8_t function{};  ///< 0..7

  /// Reads "0000:3b:00.1", or "3b:00.1" with domain 0. The whole string must match; hexadecimal, any case.
  /// Fails with Errc::invalid.
  [[nodiscard]] static Result<Bdf> parse(std::string_view text);

  /// The kernel's spelling, "0000:3b:00.1".
  [[nodiscard]] std::string to_string() const;

  /// 16-bit routing (requester) ID inside the domain.
  [[nodiscard]] constexpr std::uint16_t routing_id() const {
    return static_cast<std::uint16_t>(bus << 8U | device << 3U | function);
  }

  auto operator<=>(const Bdf&) const = default;
};

}  // namespace pcivm
