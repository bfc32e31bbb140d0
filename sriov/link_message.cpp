// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/link_message.hpp"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/socket.h>
#include <sys/socket.h>

#include <array>
#include <iterator>

#include "sriov/netlink_message.hpp"

namespace pcivm::sriov {

namespace {

constexpr int kPermanentAddress{54};  // IFLA_PERM_ADDRESS
constexpr int kMacLength{6};
constexpr int kGuidLength{8};
constexpr int kInfinibandLength{20};  // flags and queue pair, subnet prefix, GUID (RFC 4391, 9.1.1)

std::optional<MacAddress> mac_in(const std::byte* octets) {
  MacAddress mac;
  std::memcpy(mac.octets, octets, sizeof mac.octets);
  if (mac == MacAddress{}) return std::nullopt;
  return mac;
}

std::optional<Guid> guid_in(const std::byte* octets) {
  Guid guid;
  for (int i = 0; i < kGuidLength; ++i) guid.value = guid.value << 8U | std::to_integer<std::uint64_t>(octets[i]);
  if (guid == Guid{}) return std::nullopt;
  return guid;
}

Result<void> read_link(nlmsghdr* header, LinksReply& reply) {
  std::array<nlattr*, kPermanentAddress + 1> attributes{};
  if (nlmsg_parse(header, sizeof(ifinfomsg), attributes.data(), kPermanentAddress, nullptr) < 0) {
    return fail(Errc::invalid, "a link message is cut short");
  }
  auto* address = attributes[kPermanentAddress];
  PermanentAddress found{.interface = text_of(attributes[IFLA_IFNAME])};
  if (address == nullptr || found.interface.empty()) return {};
  const auto* octets = static_cast<const std::byte*>(nla_data(address));
  if (nla_len(address) == kMacLength) found.mac = mac_in(octets);
  if (nla_len(address) == kInfinibandLength) found.guid = guid_in(octets + kInfinibandLength - kGuidLength);
  if (found.mac || found.guid) reply.links.push_back(std::move(found));
  return {};
}

}  // namespace

std::vector<std::byte> encode_links_request(std::uint32_t sequence) {
  const ifinfomsg fixed{};
  const auto message = make_message(RTM_GETLINK, sequence, NLM_F_DUMP, fixed);
  put(message.get(), IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
  return bytes_of(message);
}

Result<LinksReply> decode_links(std::span<const std::byte> datagram, std::uint32_t sequence) {
  LinksReply reply;
  const auto read = [&reply](nlmsghdr* header) -> Result<void> {
    if (header->nlmsg_type == RTM_NEWLINK) return read_link(header, reply);
    if (header->nlmsg_type != NLMSG_ERROR && header->nlmsg_type != NLMSG_DONE) return {};
    const auto answer = TRY(acknowledgement_of(header));
    reply.complete = true;
    reply.error = answer.error;
    return {};
  };
  TRY(each_message(datagram, sequence, read));
  return reply;
}

}  // namespace pcivm::sriov
