// SPDX-License-Identifier: GPL-2.0-or-later
// What rtnetlink tells of every network interface by itself: addresses that were burnt in (IFLA_PERM_ADDRESS, Linux
// 5.6). Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/parse.hpp"
#include "base/result.hpp"
#include "sriov/vf_attributes.hpp"

namespace pcivm::sriov {

/// Of one interface; InfiniBand has a GUID in place of a MAC address.
struct PermanentAddress {
  std::string interface{};
  std::optional<MacAddress> mac{};
  std::optional<Guid> guid{};  ///< of the port
  bool operator==(const PermanentAddress&) const = default;
};

/// What one datagram of answers said.
struct LinksReply {
  bool complete{};
  int error{};  ///< positive errno, 0 = success
  std::vector<PermanentAddress> links{};
};

/// The request for all interfaces, without their VFs and statistics.
[[nodiscard]] std::vector<std::byte> encode_links_request(std::uint32_t sequence);
/// Messages with another sequence number are skipped, and so are interfaces that tell no such address. What is cut short
/// is Errc::invalid.
[[nodiscard]] Result<LinksReply> decode_links(std::span<const std::byte> datagram, std::uint32_t sequence);

}  // namespace pcivm::sriov
