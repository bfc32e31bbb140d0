// SPDX-License-Identifier: GPL-2.0-or-later
// VF attributes by rtnetlink (linux/if_link.h, net/core/rtnetlink.c). libnl carries the messages; the VF structures are
// encoded and decoded here, because libnl's own helpers swap the VLAN protocol and put several attributes into one
// message.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "sriov/vf_port.hpp"

struct nl_sock;

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
/// The request that makes one change to one VF.
[[nodiscard]] std::vector<std::byte> encode_set(int interface, unsigned vf, const VfChange& change,
                                                std::uint32_t sequence);
/// Reads a datagram; messages with another sequence number are skipped. What is cut short is Errc::invalid.
[[nodiscard]] Result<NetlinkReply> decode(std::span<const std::byte> datagram, std::uint32_t sequence);

/// One socket; used by one thread.
class NetlinkVfPort final : public VfPort {
 public:
  [[nodiscard]] static Result<std::unique_ptr<NetlinkVfPort>> open();
  ~NetlinkVfPort() override;
  [[nodiscard]] Result<std::vector<VfAttributes>> read(int interface) override;
  [[nodiscard]] Result<void> set(int interface, unsigned vf, const VfChange& change) override;

 private:
  explicit NetlinkVfPort(nl_sock* socket) : socket_{socket} {}
  Result<NetlinkReply> ask(std::span<const std::byte> request, bool wants_link);

  nl_sock* socket_;
  std::uint32_t sequence_{};
};

}  // namespace pcivm::sriov
