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
#include "sriov/vf_port.hpp"

namespace pcivm::sriov {

/// What one datagram said to a request that reads.
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
/// The requests that make these changes, one message each with a sequence number of its own from `sequence` on. Only
/// the last asks for an acknowledgement: success is not told of the others, errors always are (netlink_rcv_skb).
/// Errc::internal for a change that netlink cannot make.
[[nodiscard]] Result<std::vector<std::byte>> encode_set(int interface, std::span<const VfSetting> settings,
                                                        std::uint32_t sequence);
/// What a datagram says of those requests, by their place.
struct NetlinkAnswer {
  std::size_t index{};
  int error{};          ///< positive errno, 0 = success
  std::string message;  ///< the driver's own words, mostly empty
};
[[nodiscard]] Result<std::vector<NetlinkAnswer>> decode_answers(std::span<const std::byte> datagram,
                                                                std::uint32_t sequence, std::size_t count);
/// Reads a datagram; messages with another sequence number are skipped. What is cut short is Errc::invalid. There is an
/// entry for each VF that the kernel counts; one of which it says nothing has no attribute. More than 334 VFs make the
/// kernel overflow the length of their list; they are read all the same, by the lengths of the single entries.
[[nodiscard]] Result<NetlinkReply> decode(std::span<const std::byte> datagram, std::uint32_t sequence);

}  // namespace pcivm::sriov
