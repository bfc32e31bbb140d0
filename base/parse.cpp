// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/parse.hpp"

#include <algorithm>
#include <iterator>

namespace pcivm {

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto wrong = [text] {
    return fail(Errc::invalid,
                fmt::format("'{}' is not a size, wanted a number with K, M, G or T, such as 512M", text));
  };
  if (text.empty()) return wrong();
  unsigned shift = 0;
  switch (text.back()) {
    case 'k':
    case 'K': shift = 10; break;
    case 'm':
    case 'M': shift = 20; break;
    case 'g':
    case 'G': shift = 30; break;
    case 't':
    case 'T': shift = 40; break;
    default: break;
  }
  if (shift != 0) text.remove_suffix(1);
  const auto value = parse_decimal<std::uint64_t>(text);
  if (!value || *value > std::numeric_limits<std::uint64_t>::max() >> shift) return wrong();
  return *value << shift;
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return fail(Errc::invalid, fmt::format("'{}' is not a usable MAC address: {}", text, why));
  };
  constexpr std::string_view kShape = "wanted six octets such as 02:11:22:33:44:55";
  MacAddress mac;
  if (text.size() != 17) return wrong(kShape);
  for (std::size_t index = 0; index < 6; ++index) {
    const auto octet = parse_hex<std::uint8_t>(text.substr(index * 3, 2));
    if (!octet || (index < 5 && text[index * 3 + 2] != ':')) return wrong(kShape);
    mac.octets[index] = *octet;
  }
  if ((mac.octets[0] & 1U) != 0) return wrong("it is a multicast address");
  if (std::ranges::all_of(mac.octets, [](auto octet) { return octet == 0; })) return wrong("it is all zero");
  return mac;
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", octets[0], octets[1], octets[2], octets[3], octets[4],
                     octets[5]);
}

}  // namespace pcivm
