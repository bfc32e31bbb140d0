// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/rtc_time.hpp"

#include <algorithm>

namespace pcivm::vmm {

namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr std::uint8_t kPm = 0x80;
constexpr unsigned kFirstYear = 1970;
constexpr unsigned kLastYear = 2099;

}  // namespace

CalendarTime to_calendar(UnixSeconds time) {
  const auto day = floor<days>(time);
  const year_month_day date{sys_days{day}};
  const auto rest = static_cast<unsigned>((time - day).count());
  return {.second = rest % 60,
          .minute = rest / 60 % 60,
          .hour = rest / 3600,
          .day = static_cast<unsigned>(date.day()),
          .month = static_cast<unsigned>(date.month()),
          .year = static_cast<unsigned>(static_cast<int>(date.year()))};
}

UnixSeconds from_calendar(CalendarTime time) {
  const auto year = std::chrono::year{static_cast<int>(std::clamp(time.year, kFirstYear, kLastYear))};
  const auto month = std::chrono::month{std::clamp(time.month, 1U, 12U)};
  const auto last = static_cast<unsigned>((year / month / std::chrono::last).day());
  const auto day = std::chrono::day{std::clamp(time.day, 1U, last)};
  return sys_days{year / month / day}.time_since_epoch() + std::chrono::hours{std::min(time.hour, 23U)} +
         std::chrono::minutes{std::min(time.minute, 59U)} + std::chrono::seconds{std::min(time.second, 59U)};
}

unsigned weekday(UnixSeconds time) { return std::chrono::weekday{sys_days{floor<days>(time)}}.c_encoding() + 1; }

std::uint8_t encode(unsigned value, RtcFormat format) {
  return static_cast<std::uint8_t>(format.binary ? value : value / 10 << 4U | value % 10);
}

unsigned decode(std::uint8_t raw, RtcFormat format) { return format.binary ? raw : (raw >> 4U) * 10U + (raw & 0xfU); }

std::uint8_t encode_hour(unsigned hour, RtcFormat format) {
  if (format.hours24) return encode(hour, format);
  return static_cast<std::uint8_t>(encode((hour + 11) % 12 + 1, format) | (hour >= 12 ? kPm : 0));
}

unsigned decode_hour(std::uint8_t raw, RtcFormat format) {
  if (format.hours24) return decode(raw, format);
  return decode(static_cast<std::uint8_t>(raw & ~kPm), format) % 12 + ((raw & kPm) != 0 ? 12U : 0U);
}

}  // namespace pcivm::vmm
