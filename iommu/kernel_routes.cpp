// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/kernel_routes.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <algorithm>
#include <array>
#include <memory>

namespace pcivm::iommu {

namespace {

using Socket = std::unique_ptr<nl_sock, void (*)(nl_sock*)>;

void add(std::vector<TableDefault>& found, int index, unsigned table) {
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(static_cast<unsigned>(index), name.data()) != nullptr) found.push_back({name.data(), table});
}

void add_next_hops(std::vector<TableDefault>& found, nlattr* hops, unsigned table) {
  auto left = static_cast<std::size_t>(nla_len(hops));
  const auto* at = static_cast<const char*>(nla_data(hops));
  while (left >= sizeof(rtnexthop)) {
    const auto* hop = static_cast<const rtnexthop*>(static_cast<const void*>(at));
    if (hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > left) return;
    add(found, hop->rtnh_ifindex, table);
    const auto step = std::min<std::size_t>(left, NLA_ALIGN(hop->rtnh_len));
    at += step;
    left -= step;
  }
}

int read_route(nl_msg* message, void* context) {
  auto& found = *static_cast<std::vector<TableDefault>*>(context);
  auto* header = nlmsg_hdr(message);
  if (header->nlmsg_type != RTM_NEWROUTE) return NL_OK;
  const auto* route = static_cast<const rtmsg*>(nlmsg_data(header));
  std::array<nlattr*, RTA_MAX + 1> attributes{};
  if (nlmsg_parse(header, sizeof(rtmsg), attributes.data(), RTA_MAX, nullptr) < 0) return NL_OK;
  if (route->rtm_dst_len != 0 || route->rtm_type != RTN_UNICAST) return NL_OK;
  const auto table = attributes[RTA_TABLE] == nullptr ? route->rtm_table : nla_get_u32(attributes[RTA_TABLE]);
  if (attributes[RTA_OIF] != nullptr) add(found, static_cast<int>(nla_get_u32(attributes[RTA_OIF])), table);
  if (attributes[RTA_MULTIPATH] != nullptr) add_next_hops(found, attributes[RTA_MULTIPATH], table);
  return NL_OK;
}

}  // namespace

std::vector<TableDefault> default_routes_of_all_tables() {
  std::vector<TableDefault> found;
  const Socket socket{nl_socket_alloc(), nl_socket_free};
  if (!socket || nl_connect(socket.get(), NETLINK_ROUTE) < 0) return found;
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, read_route, &found);
  rtmsg wanted{};
  wanted.rtm_family = AF_INET;
  if (nl_send_simple(socket.get(), RTM_GETROUTE, NLM_F_DUMP, &wanted, sizeof wanted) < 0) return found;
  if (nl_recvmsgs_default(socket.get()) < 0) found.clear();
  return found;
}

}  // namespace pcivm::iommu
