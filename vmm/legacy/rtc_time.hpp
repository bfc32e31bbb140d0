// SPDX-License-Identifier: GPL-2.0-or-later
// Time of day in the form of MC146818 registers.
#pragma once

#include <chrono>
#include <cstdint>

namespace pcivm::vmm {

/// Seconds since 1970-01-01 UTC.
using UnixSeconds = std::chrono::seconds;

/// to_calendar gives possible dates; what a guest wrote may be none.
struct CalendarTime {
  unsigned second{};  ///< 0..59
  unsigned minute{};  ///< 0..59
  unsigned hour{};    ///< 0..23
  unsigned day{1};    ///< 1..31
  unsigned month{1};  ///< 1..12
  unsigned year{1970};
  bool operator==(const CalendarTime&) const = default;
};
[[nodiscard]] CalendarTime to_calendar(UnixSeconds time);
/// Whatever the guest wrote is first brought to the nearest possible date.
[[nodiscard]] UnixSeconds from_calendar(CalendarTime time);
/// 1 = Sunday.
[[nodiscard]] unsigned weekday(UnixSeconds time);

/// How register B says that numbers look.
struct RtcFormat {
  bool binary{};       ///< else BCD
  bool hours24{true};  ///< else 1..12 with bit 7 = PM
};
[[nodiscard]] std::uint8_t encode(unsigned value, RtcFormat format);
[[nodiscard]] unsigned decode(std::uint8_t raw, RtcFormat format);
[[nodiscard]] std::uint8_t encode_hour(unsigned hour, RtcFormat format);
[[nodiscard]] unsigned decode_hour(std::uint8_t raw, RtcFormat format);

}  // namespace pcivm::vmm
