// SPDX-License-Identifier: GPL-2.0-or-later
// What rtnetlink and generic netlink messages have in common: building one with libnl, reading values,
// acknowledgements.
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace pcivm::sriov {

using Message = std::unique_ptr<nl_msg, void (*)(nl_msg*)>;

/// A request that starts with a fixed header of Header's size, all zero.
template <class Header>
Message make_message(int type, std::uint32_t sequence, int flags, const Header& fixed) {
  Message message{nlmsg_alloc(), nlmsg_free};
  nlmsg_put(message.get(), NL_AUTO_PORT, sequence, type, sizeof fixed, NLM_F_REQUEST | flags);
  std::memcpy(nlmsg_data(nlmsg_hdr(message.get())), &fixed, sizeof fixed);
  return message;
}

template <class Value>
void put(nl_msg* message, int type, const Value& value) {
  nla_put(message, type, sizeof value, &value);
}

[[nodiscard]] std::vector<std::byte> bytes_of(const Message& message);

/// An attribute of at least the size of Value, copied out: the kernel aligns to 4 bytes only.
template <class Value>
std::optional<Value> value_of(nlattr* attribute) {
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(Value))) return std::nullopt;
  Value value{};
  std::memcpy(&value, nla_data(attribute), sizeof value);
  return value;
}
/// The text of an attribute up to its first NUL; empty when absent.
[[nodiscard]] std::string text_of(nlattr* attribute);

/// What an NLMSG_ERROR or NLMSG_DONE said.
struct Acknowledgement {
  bool arrived{};
  int error{};          ///< positive errno, 0 = success
  std::string message;  ///< the driver's own words (extended acknowledgement), mostly empty
};
/// Errc::invalid when it is cut short.
[[nodiscard]] Result<Acknowledgement> acknowledgement_of(nlmsghdr* header);

/// Calls `visit` with each message of a datagram that carries this sequence number, or one of `count` from it on. What
/// is cut short is Errc::invalid.
[[nodiscard]] Result<void> each_message(std::span<const std::byte> datagram, std::uint32_t sequence,
                                        const std::function<Result<void>(nlmsghdr*)>& visit, std::uint32_t count = 1);

}  // namespace pcivm::sriov
