// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/ip_routes.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <sstream>

#include <fmt/format.h>

#include "base/parse.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::size_t kMappedPrefix = 12;  // bytes of ::ffff:0:0/96

IpAddress mapped(std::span<const std::uint8_t, 4> ipv4) {
  IpAddress address{};
  address[10] = address[11] = 0xff;
  std::ranges::copy(ipv4, address.begin() + kMappedPrefix);
  return address;
}

/// /proc/net/route prints the bytes of the network order as one number of the host: "0002A8C0" = 192.168.2.0.
std::optional<std::array<std::uint8_t, 4>> parse_ipv4_hex(const std::string& text) {
  const auto number = parse_hex<std::uint32_t>(text);
  if (!number) return std::nullopt;
  return std::bit_cast<std::array<std::uint8_t, 4>>(*number);
}

std::optional<IpAddress> parse_ipv6_hex(const std::string& text) {
  IpAddress address{};
  if (text.size() != 2 * address.size()) return std::nullopt;
  for (std::size_t i = 0; i < address.size(); ++i) {
    const auto octet = parse_hex<std::uint8_t>(std::string_view{text}.substr(2 * i, 2));
    if (!octet) return std::nullopt;
    address[i] = *octet;
  }
  return address;
}

bool usable(std::uint32_t flags) { return (flags & RTF_UP) != 0 && (flags & RTF_REJECT) == 0; }

/// "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT", fields of net/ipv4/fib_trie.c.
std::optional<Route> parse_ipv4_route(const std::string& line) {
  std::istringstream fields{line};
  std::string netdev;
  std::string destination;
  std::string gateway;
  std::string flags;
  std::string skipped;
  std::string mask;
  fields >> netdev >> destination >> gateway >> flags >> skipped >> skipped >> skipped >> mask;
  const auto network = parse_ipv4_hex(destination);
  const auto bits = parse_hex<std::uint32_t>(mask);
  const auto set = parse_hex<std::uint32_t>(flags);
  if (!fields || !network || !bits || !set || !usable(*set)) return std::nullopt;
  return Route{.destination = mapped(*network),
               .prefix = 96U + static_cast<unsigned>(std::popcount(*bits)),
               .ipv4 = true,
               .netdev = netdev};
}

/// "destination prefix source prefix next-hop metric references use flags netdev", fields of net/ipv6/route.c.
std::optional<Route> parse_ipv6_route(const std::string& line) {
  std::istringstream fields{line};
  std::array<std::string, 10> words;
  for (auto& word : words) fields >> word;
  const auto destination = parse_ipv6_hex(words[0]);
  const auto prefix = parse_hex<std::uint8_t>(words[1]);
  const auto flags = parse_hex<std::uint32_t>(words[8]);
  if (!fields || !destination || !prefix || !flags || !usable(*flags) || words[9] == "lo") return std::nullopt;
  return Route{.destination = *destination, .prefix = *prefix, .ipv4 = false, .netdev = words[9]};
}

template <class Parse>
void read_routes(const SysRoot& root, std::string_view path, Parse parse, std::vector<Route>& routes) {
  std::istringstream lines{root.read(path).value_or("")};
  for (std::string line; std::getline(lines, line);) {
    if (auto route = parse(line)) routes.push_back(std::move(*route));
  }
}

bool contains(const Route& route, const IpAddress& address) {
  for (unsigned bit = 0; bit < route.prefix; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    if (((route.destination.at(bit / 8) ^ address.at(bit / 8)) & mask) != 0) return false;
  }
  return true;
}

bool is_mapped(const IpAddress& address) {
  const auto zero = [](std::uint8_t octet) { return octet == 0; };
  return std::all_of(address.begin(), address.begin() + 10, zero) && address[10] == 0xff && address[11] == 0xff;
}

using Addresses = std::map<std::string, std::vector<std::string>>;

std::string to_text(int family, const void* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(family, bytes, text.data(), text.size()) == nullptr ? std::string{} : std::string{text.data()};
}

/// "fe80... ifindex prefix scope flags name"
void read_ipv6_addresses(const SysRoot& root, Addresses& found) {
  std::istringstream lines{root.read("/proc/net/if_inet6").value_or("")};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::array<std::string, 6> words;
    for (auto& word : words) fields >> word;
    const auto address = parse_ipv6_hex(words[0]);
    if (!fields || !address) continue;
    // fe80::/10: the kernel gives one to every interface that is merely up.
    const bool link_local = (*address)[0] == 0xfe && ((*address)[1] & 0xc0U) == 0x80;
    if (!link_local) found[words[5]].push_back(to_text(AF_INET6, address->data()));
  }
}

void read_live_ipv4_addresses(Addresses& found) {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner{first, ::freeifaddrs};
  for (const auto* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, entry->ifa_addr, sizeof address);
    found[entry->ifa_name].push_back(to_text(AF_INET, &address.sin_addr));
  }
}

}  // namespace

std::vector<Route> routes(const SysRoot& root) {
  std::vector<Route> found;
  read_routes(root, "/proc/net/route", parse_ipv4_route, found);
  read_routes(root, "/proc/net/ipv6_route", parse_ipv6_route, found);
  return found;
}

std::optional<std::string> netdev_towards(const std::vector<Route>& routes, const IpAddress& address) {
  const Route* best = nullptr;
  for (const auto& route : routes) {
    if (route.ipv4 != is_mapped(address) || !contains(route, address)) continue;
    if (best == nullptr || route.prefix > best->prefix) best = &route;
  }
  return best == nullptr ? std::nullopt : std::optional{best->netdev};
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  const std::string plain{text.substr(0, text.find('%'))};
  std::array<std::uint8_t, 4> ipv4{};
  if (::inet_pton(AF_INET, plain.c_str(), ipv4.data()) == 1) return mapped(ipv4);
  IpAddress ipv6{};
  if (::inet_pton(AF_INET6, plain.c_str(), ipv6.data()) == 1) return ipv6;
  return std::nullopt;
}

Addresses addresses(const SysRoot& root) {
  Addresses found;
  read_ipv6_addresses(root, found);
  if (root.live()) {
    read_live_ipv4_addresses(found);
    return found;
  }
  for (const auto& route : routes(root)) {
    if (!route.ipv4 || route.is_default()) continue;
    found[route.netdev].push_back(
        fmt::format("{}/{}", to_text(AF_INET, route.destination.data() + kMappedPrefix), route.prefix - 96));
  }
  return found;
}

}  // namespace pcivm::iommu
