// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vf_wish_options.hpp"

#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/choice.hpp"

namespace pcivm::cli {

namespace {

const std::map<std::string, bool> kSwitches{{"on", true}, {"off", false}};
const std::map<std::string, sriov::VlanProtocol> kProtocols{{"802.1q", sriov::VlanProtocol::dot1q},
                                                            {"802.1ad", sriov::VlanProtocol::dot1ad}};
const std::map<std::string, sriov::LinkState> kLinkStates{{"auto", sriov::LinkState::automatic},
                                                          {"enable", sriov::LinkState::enable},
                                                          {"disable", sriov::LinkState::disable}};

template <class Value>
Result<std::optional<Value>> number(const std::string& text, std::string_view option) {
  if (text.empty()) return std::optional<Value>{};
  return std::optional{TRY_IN(parse_decimal<Value>(text), std::string{option})};
}

Result<std::optional<sriov::Guid>> guid(const std::string& text, std::string_view option) {
  if (text.empty()) return std::optional<sriov::Guid>{};
  return std::optional{TRY_IN(sriov::Guid::parse(text), std::string{option})};
}

}  // namespace

Result<sriov::VfWish> wish_of(const WishArguments& args) {
  sriov::VfWish wish;
  wish.vlan = TRY(number<std::uint16_t>(args.vlan, "--vlan"));
  wish.qos = TRY(number<std::uint8_t>(args.qos, "--qos"));
  wish.protocol = TRY(chosen(args.protocol, kProtocols, "--proto"));
  wish.trust = TRY(chosen(args.trust, kSwitches, "--trust"));
  wish.spoofchk = TRY(chosen(args.spoofchk, kSwitches, "--spoofchk"));
  wish.link_state = TRY(chosen(args.link_state, kLinkStates, "--link-state"));
  wish.min_tx_rate = TRY(number<std::uint32_t>(args.min_tx_rate, "--min-tx-rate"));
  wish.max_tx_rate = TRY(number<std::uint32_t>(args.max_tx_rate, "--max-tx-rate"));
  wish.rss_query = TRY(chosen(args.rss_query, kSwitches, "--rss-query"));
  wish.node_guid = TRY(guid(args.node_guid, "--node-guid"));
  wish.port_guid = TRY(guid(args.port_guid, "--port-guid"));
  wish.roce = TRY(chosen(args.roce, kSwitches, "--roce"));
  wish.migratable = TRY(chosen(args.migratable, kSwitches, "--migratable"));
  if (!args.rate_parent.empty()) wish.rate_parent = args.rate_parent == "none" ? "" : args.rate_parent;
  wish.msix_count = TRY(number<std::uint32_t>(args.msix, "--msix"));
  return wish;
}

void add_wish_options(CLI::App& command, WishArguments& args) {
  command.add_option("--vlan", args.vlan, "VLAN that its frames get, 0 for none")->type_name("ID");
  command.add_option("--qos", args.qos, "priority in that VLAN")->type_name("0..7");
  command.add_option("--proto", args.protocol, "kind of VLAN")->type_name("802.1q|802.1ad");
  command.add_option("--trust", args.trust, "may it change its address, and hear all?")->type_name("on|off");
  command.add_option("--spoofchk", args.spoofchk, "drop frames from other addresses")->type_name("on|off");
  command.add_option("--link-state", args.link_state, "what it sees of the link")->type_name("auto|enable|disable");
  command.add_option("--min-tx-rate", args.min_tx_rate, "Mbit/s that it is sure of, 0 for none")->type_name("RATE");
  command.add_option("--max-tx-rate", args.max_tx_rate, "Mbit/s at most, 0 for no limit")->type_name("RATE");
  command.add_option("--rss-query", args.rss_query, "may it read the RSS table and key?")->type_name("on|off");
  command.add_option("--msix", args.msix, "interrupt vectors, 0 for the device's own number; only without driver")
      ->type_name("COUNT");
}

void add_guid_options(CLI::App& command, WishArguments& args) {
  command.add_option("--node-guid", args.node_guid, "InfiniBand node, 8 octets")->type_name("GUID");
  command.add_option("--port-guid", args.port_guid, "InfiniBand port, 8 octets")->type_name("GUID");
}

void add_function_options(CLI::App& command, WishArguments& args) {
  command.add_option("--roce", args.roce, "switchdev: may it do RDMA over Ethernet?")->type_name("on|off");
  command.add_option("--migratable", args.migratable, "switchdev: can its state be moved?")->type_name("on|off");
  command.add_option("--rate-parent", args.rate_parent, "switchdev: devlink rate node above it, or none")
      ->type_name("NODE");
}

}  // namespace pcivm::cli
