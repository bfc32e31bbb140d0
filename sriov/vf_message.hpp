// SPDX-License-Identifier: GPL-2.0-or-later
// VF attributes as rtnetlink messages (linux/if_link.h, net/core/rtnetlink.c): pure functions. The VF structures are
// encoded and decoded here, because libnl's own helpers swap the VLAN protocol and put several attributes into one
// message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "sriov/vf_wish.hpp"

namespace pcivm::sriov {

/// What one datagram of answers said.
struct NetlinkReply {
  bool acknowledged{};
  int error{};          ///< positive errno of an NLMSG_ERROR, 0 = success
  std::string message;  ///< the driver's own words (extended acknowledgement), mostly empty
  bool link{};          ///< holds a link, with `vfs`
  std::vector<VfAttributes> vfs{};
};

/// The request that reads all VFs of one interface, without their statistics: with those the list would overflow its
/// 16-bit length from 222 VFs on.
[[nodiscard]] std::vector<std::byte> encode_read(int interface, std::uint32_t sequence);
/// The request that makes one change to one VF. Errc::internal for a change that netlink cannot make.
[[nodiscard]] Result<std::vector<std::byte>> encode_set(int interface, unsigned vf, const VfChange& change,
                                                        std::uint32_t sequence);
/// Reads a datagram; messages with another sequence number are skipped. What is cut short is Errc::invalid. There is an
/// entry for each VF that the kernel counts; one of which it says nothing has no attribute. More than 334 VFs make the
/// kernel overflow the length of their list; they are read all the same, by the lengths of the single entries.
[[nodiscard]] Result<NetlinkReply> decode(std::span<const std::byte> datagram, std::uint32_t sequence);

}  // namespace pcivm::sriov
