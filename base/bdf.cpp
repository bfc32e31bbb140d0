// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/bdf.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "base/parse.hpp"

namespace pcivm {

namespace {

std::unexpected<Error> malformed(std::string_view text) {
  return fail(Error::make(Errc::invalid, fmt::format("malformed PCI address '{}', wanted [DDDD:]BB:DD.F", text))
                  .advise("pcivm device list shows the addresses of this host")
                  .coded("address.malformed"));
}

// The kernel prints exactly two digits for bus and device; a shorter spelling is accepted as lspci does.
bool digits_within(std::string_view text, std::size_t most) { return !text.empty() && text.size() <= most; }

}  // namespace

Result<Bdf> Bdf::parse(std::string_view text) {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos) return malformed(text);
  auto head = text.substr(0, dot);
  const auto function_text = text.substr(dot + 1);

  const auto device_colon = head.rfind(':');
  if (device_colon == std::string_view::npos) return malformed(text);
  const auto device_text = head.substr(device_colon + 1);
  head = head.substr(0, device_colon);

  const auto bus_colon = head.rfind(':');
  const auto bus_text = bus_colon == std::string_view::npos ? head : head.substr(bus_colon + 1);
  const auto domain_text = bus_colon == std::string_view::npos ? std::string_view{"0"} : head.substr(0, bus_colon);

  if (!digits_within(domain_text, 8) || !digits_within(bus_text, 2) || !digits_within(device_text, 2) ||
      !digits_within(function_text, 1)) {
    return malformed(text);
  }
  const auto domain = parse_hex<std::uint32_t>(domain_text);
  const auto bus = parse_hex<std::uint8_t>(bus_text);
  const auto device = parse_hex<std::uint8_t>(device_text, 31);
  const auto function = parse_hex<std::uint8_t>(function_text, 7);
  if (!domain || !bus || !device || !function) return malformed(text);
  return Bdf{*domain, *bus, *device, *function};
}

// By hand: lists of thousands of functions do little else.
std::string Bdf::to_string() const {
  constexpr std::string_view kDigits{"0123456789abcdef"};
  std::string text;
  const auto put = [&](std::uint32_t value, unsigned digits) {
    while (digits-- > 0) text += kDigits[value >> 4U * digits & 0xfU];
  };
  put(domain, std::max(4U, (static_cast<unsigned>(std::bit_width(domain)) + 3U) / 4U));
  text += ':';
  put(bus, 2);
  text += ':';
  put(device, 2);
  text += '.';
  put(function, 1);
  return text;
}

}  // namespace pcivm
