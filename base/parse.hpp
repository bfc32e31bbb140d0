// SPDX-License-Identifier: GPL-2.0-or-later
// Strict readers of small values: the whole text must match, ranges are checked, no locale, no sign, no blanks.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "base/result.hpp"

namespace pcivm {

namespace detail {
template <std::unsigned_integral T>
Result<T> parse_unsigned(std::string_view text, int base, T most) {
  T value{};
  const auto* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || code != std::errc{} || stop != end || value > most) {
    return fail(Errc::invalid, fmt::format("'{}' is not a {} number from 0 to {}", text,
                                           base == 16 ? "hexadecimal" : "decimal", static_cast<std::uint64_t>(most)));
  }
  return value;
}
}  // namespace detail

template <std::unsigned_integral T>
Result<T> parse_decimal(std::string_view text, T most = std::numeric_limits<T>::max()) {
  return detail::parse_unsigned<T>(text, 10, most);
}

/// Without "0x"; see parse_hex_prefixed for sysfs values such as "0x8086".
template <std::unsigned_integral T>
Result<T> parse_hex(std::string_view text, T most = std::numeric_limits<T>::max()) {
  return detail::parse_unsigned<T>(text, 16, most);
}

/// "0x8086", as sysfs writes it; the prefix is required.
template <std::unsigned_integral T>
Result<T> parse_hex_prefixed(std::string_view text, T most = std::numeric_limits<T>::max()) {
  if (!text.starts_with("0x")) return fail(Errc::invalid, fmt::format("'{}' does not start with 0x", text));
  return detail::parse_unsigned<T>(text.substr(2), 16, most);
}

/// "512M", "1G", "4096" (bytes), suffixes K M G T of 1024; fails on overflow.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);

/// Six colon-separated octets, "02:11:22:33:44:55"; neither multicast nor all-zero.
struct MacAddress {
  std::uint8_t octets[6]{};
  [[nodiscard]] static Result<MacAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  bool operator==(const MacAddress&) const = default;
};

}  // namespace pcivm
