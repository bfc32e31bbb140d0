// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_netlink.hpp"

#include <linux/netlink.h>

#include <cerrno>

#include <fmt/format.h>

namespace pcivm::sriov {

Result<std::unique_ptr<NetlinkVfPort>> NetlinkVfPort::open() {
  auto socket = TRY(NetlinkSocket::open(NETLINK_ROUTE));
  return std::unique_ptr<NetlinkVfPort>{new NetlinkVfPort{std::move(socket)}};
}

Result<NetlinkReply> NetlinkVfPort::ask(std::span<const std::byte> request, bool wants_link) {
  NetlinkReply reply;
  const auto read = [&](std::span<const std::byte> datagram) -> Result<bool> {
    reply = TRY(decode(datagram, sequence_));
    return reply.acknowledged || (wants_link && reply.link);
  };
  TRY(socket_.ask(request, read));
  return reply;
}

Result<std::vector<VfAttributes>> NetlinkVfPort::read(int interface) {
  auto reply = TRY(ask(encode_read(interface, ++sequence_), true));
  if (reply.error != 0) return fail_errno(reply.error, fmt::format("read VFs of interface {}", interface));
  return std::move(reply.vfs);
}

Result<void> NetlinkVfPort::set(int interface, unsigned vf, const VfChange& change) {
  const auto request = TRY(encode_set(interface, vf, change, ++sequence_));
  const auto reply = TRY(ask(request, false));
  if (reply.error == 0) return {};
  const auto what = fmt::format("set {} of VF {}", to_string(change), vf);
  auto error = Error::from_errno(reply.error, reply.message.empty() ? what : what + ": " + reply.message);
  if (reply.error == EOPNOTSUPP) error = std::move(error).advise("the PF's driver does not offer this attribute");
  // igb, ixgbe: a rate is a share of the link's speed.
  if (reply.error == EINVAL) error = std::move(error).advise("some drivers take this only while the PF's link is up");
  return fail(std::move(error));
}

}  // namespace pcivm::sriov
