// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_netlink.hpp"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

// About 6 KiB of requests, and in the worst case as many answers, which the socket's buffers have room for.
constexpr std::size_t kTogether{64};

Error refused(const VfSetting& setting, const NetlinkAnswer& answer) {
  const auto what = fmt::format("set {} of VF {}", to_string(setting.change), setting.vf);
  auto error = Error::from_errno(answer.error, answer.message.empty() ? what : what + ": " + answer.message);
  if (answer.error == EOPNOTSUPP) return std::move(error).advise("the PF's driver does not offer this attribute");
  // igb, ixgbe: a rate is a share of the link's speed.
  if (answer.error == EINVAL) return std::move(error).advise("some drivers take this only while the PF's link is up");
  return error;
}

}  // namespace

Result<std::unique_ptr<NetlinkVfPort>> NetlinkVfPort::open() {
  auto socket = TRY(NetlinkSocket::open(NETLINK_ROUTE));
  return std::unique_ptr<NetlinkVfPort>{new NetlinkVfPort{std::move(socket)}};
}

Result<std::vector<VfAttributes>> NetlinkVfPort::read(int interface) {
  NetlinkReply reply;
  const auto sequence = ++sequence_;
  const auto read = [&](std::span<const std::byte> datagram) -> Result<bool> {
    reply = TRY(decode(datagram, sequence));
    return reply.acknowledged || reply.link;
  };
  TRY(socket_.ask(encode_read(interface, sequence), read));
  if (reply.error != 0) return fail_errno(reply.error, fmt::format("read VFs of interface {}", interface));
  return std::move(reply.vfs);
}

Result<void> NetlinkVfPort::set_some(int interface, std::span<const VfSetting> settings, std::size_t first,
                                     std::vector<Refusal>& refusals) {
  const auto sequence = sequence_ + 1;
  const auto request = TRY(encode_set(interface, settings, sequence));
  sequence_ += static_cast<std::uint32_t>(settings.size());
  const auto read = [&](std::span<const std::byte> datagram) -> Result<bool> {
    bool last{};
    for (const auto& answer : TRY(decode_answers(datagram, sequence, settings.size()))) {
      last = last || answer.index + 1 == settings.size();
      if (answer.error == 0) continue;
      refusals.push_back({.index = first + answer.index, .error = refused(settings[answer.index], answer)});
    }
    return last;
  };
  return socket_.ask(request, read);
}

Result<std::vector<Refusal>> NetlinkVfPort::set(int interface, std::span<const VfSetting> settings) {
  std::vector<Refusal> refusals;
  for (std::size_t first = 0; first < settings.size(); first += kTogether) {
    const auto some = settings.subspan(first, std::min(kTogether, settings.size() - first));
    TRY(set_some(interface, some, first, refusals));
  }
  return refusals;
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
