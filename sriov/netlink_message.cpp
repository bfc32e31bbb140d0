// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/netlink_message.hpp"

#include <linux/netlink.h>

#include <fmt/format.h>

namespace pcivm::sriov {

namespace {

// The extended acknowledgement follows the request's header, which it repeats; with NETLINK_CAP_ACK not its body.
std::string extended_message(nlmsghdr* header, const nlmsgerr& error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::size_t skip = sizeof(nlmsgerr);
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) skip += NLMSG_ALIGN(error.msg.nlmsg_len) - sizeof(nlmsghdr);
  const auto length = static_cast<std::size_t>(nlmsg_datalen(header));
  if (skip >= length) return {};
  auto* first = static_cast<nlattr*>(static_cast<void*>(static_cast<std::byte*>(nlmsg_data(header)) + skip));
  return text_of(nla_find(first, static_cast<int>(length - skip), NLMSGERR_ATTR_MSG));
}

}  // namespace

std::vector<std::byte> bytes_of(const Message& message) {
  const auto* header = nlmsg_hdr(message.get());
  const auto* first = static_cast<const std::byte*>(static_cast<const void*>(header));
  return {first, first + header->nlmsg_len};
}

std::string text_of(nlattr* attribute) {
  if (attribute == nullptr || nla_len(attribute) < 1) return {};
  const auto* start = static_cast<const char*>(nla_data(attribute));
  return {start, strnlen(start, static_cast<std::size_t>(nla_len(attribute)))};
}

Result<Acknowledgement> acknowledgement_of(nlmsghdr* header) {
  Acknowledgement answer{.arrived = true, .message = {}};
  const auto length = nlmsg_datalen(header);
  if (header->nlmsg_type == NLMSG_DONE) {
    // The end of a dump carries its error in its first word, if at all.
    std::int32_t code{};
    if (length >= static_cast<int>(sizeof code)) std::memcpy(&code, nlmsg_data(header), sizeof code);
    answer.error = code < 0 ? -code : 0;
    return answer;
  }
  if (length < static_cast<int>(sizeof(nlmsgerr))) return fail(Errc::invalid, "an acknowledgement is cut short");
  nlmsgerr error{};
  std::memcpy(&error, nlmsg_data(header), sizeof error);
  answer.error = error.error < 0 ? -error.error : 0;
  answer.message = extended_message(header, error);
  return answer;
}

Result<void> each_message(std::span<const std::byte> datagram, std::uint32_t sequence,
                          const std::function<Result<void>(nlmsghdr*)>& visit, std::uint32_t count) {
  // libnl's readers want a mutable buffer aligned as a message header.
  std::vector<std::uint32_t> copy((datagram.size() + 3) / 4);
  if (!datagram.empty()) std::memcpy(copy.data(), datagram.data(), datagram.size());
  auto left = static_cast<int>(datagram.size());
  auto* header = static_cast<nlmsghdr*>(static_cast<void*>(copy.data()));
  for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
    if (header->nlmsg_seq - sequence < count) TRY(visit(header));  // modulo 2^32
  }
  if (left > 0) return fail(Errc::invalid, fmt::format("a netlink message is cut short with {} bytes left", left));
  return {};
}

}  // namespace pcivm::sriov
