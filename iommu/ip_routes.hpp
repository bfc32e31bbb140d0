// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's IPv4 and IPv6 routes and addresses as /proc/net shows them, so that captured trees can be read too.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sysroot.hpp"

namespace pcivm::iommu {

/// An IPv6 address, or an IPv4 one mapped into it (::ffff:a.b.c.d), in network order.
using IpAddress = std::array<std::uint8_t, 16>;

struct Route {
  IpAddress destination{};
  unsigned prefix{};  ///< 96 + the IPv4 prefix for IPv4
  bool ipv4{false};
  std::string netdev{};
  [[nodiscard]] bool is_default() const { return prefix == (ipv4 ? 96U : 0U); }
};

/// Usable routes (up, not "unreachable") of /proc/net/route and /proc/net/ipv6_route.
[[nodiscard]] std::vector<Route> routes(const SysRoot& root);

/// The interface of the longest prefix that holds `address`.
[[nodiscard]] std::optional<std::string> netdev_towards(const std::vector<Route>& routes, const IpAddress& address);

/// "192.0.2.7" or "2001:db8::7", with an optional %scope.
[[nodiscard]] std::optional<IpAddress> parse_ip(std::string_view text);

/// Addresses by interface, as text. IPv6 from /proc/net/if_inet6 without link-local ones. IPv4 from the live kernel, or
/// for another root from the subnets in its route table.
[[nodiscard]] std::map<std::string, std::vector<std::string>> addresses(const SysRoot& root);

}  // namespace pcivm::iommu
