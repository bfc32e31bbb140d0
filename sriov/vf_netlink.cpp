// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_netlink.hpp"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

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

Result<std::vector<PermanentAddress>> NetlinkVfPort::permanent_addresses() {
  LinksReply whole;
  const auto read = [&](std::span<const std::byte> datagram) -> Result<bool> {
    auto reply = TRY(decode_links(datagram, sequence_));
    std::ranges::move(reply.links, std::back_inserter(whole.links));
    whole.error = reply.error;
    return reply.complete;
  };
  TRY(socket_.ask(encode_links_request(++sequence_), read));
  if (whole.error == 0) return std::move(whole.links);
  return fail_errno(whole.error, "read the addresses of all interfaces");
}

Result<void> NetlinkVfPort::open_devlink() {
  if (generic_) return {};
  auto socket = TRY(NetlinkSocket::open(NETLINK_GENERIC));
  const auto read = [&](std::span<const std::byte> datagram) -> Result<bool> {
    const auto found = TRY(decode_family(datagram, sequence_));
    if (found) family_ = *found;
    const auto reply = TRY(decode_devlink(datagram, sequence_));
    return reply.complete;
  };
  TRY(socket.ask(encode_family_request(++sequence_), read));
  generic_.emplace(std::move(socket));
  return {};
}

Result<std::vector<DevlinkMessage>> NetlinkVfPort::devlink(const DevlinkMessage& request) {
  TRY(open_devlink());
  if (family_ == 0) return fail_errno(EOPNOTSUPP, "devlink");
  DevlinkReply whole;
  const auto read = [&](std::span<const std::byte> datagram) -> Result<bool> {
    auto reply = TRY(decode_devlink(datagram, sequence_));
    std::ranges::move(reply.objects, std::back_inserter(whole.objects));
    whole.error = reply.error;
    whole.message = std::move(reply.message);
    return reply.complete;
  };
  TRY(generic_->ask(encode(request, family_, ++sequence_), read));
  if (whole.error == 0) return std::move(whole.objects);
  return fail_errno(whole.error, whole.message.empty() ? std::string{"devlink"} : "devlink: " + whole.message);
}

}  // namespace pcivm::sriov
