// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vf set VF [--mac ..] [--vlan ..] ...
#include <map>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/vf_facts.hpp"
#include "sriov/vf_set.hpp"

namespace pcivm::cli {

namespace {

// As given; empty = not given.
struct SetArguments {
  std::string vf;
  std::string mac;
  std::string vlan;
  std::string qos;
  std::string protocol;
  std::string trust;
  std::string spoofchk;
  std::string link_state;
  std::string min_tx_rate;
  std::string max_tx_rate;
};

const std::map<std::string, bool> kSwitches{{"on", true}, {"off", false}};
const std::map<std::string, sriov::VlanProtocol> kProtocols{{"802.1q", sriov::VlanProtocol::dot1q},
                                                            {"802.1ad", sriov::VlanProtocol::dot1ad}};
const std::map<std::string, sriov::LinkState> kLinkStates{{"auto", sriov::LinkState::automatic},
                                                          {"enable", sriov::LinkState::enable},
                                                          {"disable", sriov::LinkState::disable}};

template <class Value>
Result<std::optional<Value>> chosen(const std::string& text, const std::map<std::string, Value>& values,
                                    std::string_view option) {
  if (text.empty()) return std::optional<Value>{};
  const auto found = values.find(text);
  if (found != values.end()) return std::optional{found->second};
  std::string names;
  for (const auto& [name, value] : values) names += (names.empty() ? "" : ", ") + name;
  return fail(Errc::invalid, fmt::format("{}: '{}' is none of {}", option, text, names));
}

template <class Value>
Result<std::optional<Value>> number(const std::string& text, std::string_view option) {
  if (text.empty()) return std::optional<Value>{};
  return std::optional{TRY_IN(parse_decimal<Value>(text), std::string{option})};
}

Result<std::optional<MacAddress>> address(const std::string& text) {
  if (text.empty()) return std::optional<MacAddress>{};
  // Takes back the address that was given.
  if (text == "none" || text == "00:00:00:00:00:00") return std::optional{MacAddress{}};
  return std::optional{TRY_IN(MacAddress::parse(text), std::string{"--mac"})};
}

Result<sriov::VfWish> wish_of(const SetArguments& args) {
  sriov::VfWish wish;
  wish.mac = TRY(address(args.mac));
  wish.vlan = TRY(number<std::uint16_t>(args.vlan, "--vlan"));
  wish.qos = TRY(number<std::uint8_t>(args.qos, "--qos"));
  wish.protocol = TRY(chosen(args.protocol, kProtocols, "--proto"));
  wish.trust = TRY(chosen(args.trust, kSwitches, "--trust"));
  wish.spoofchk = TRY(chosen(args.spoofchk, kSwitches, "--spoofchk"));
  wish.link_state = TRY(chosen(args.link_state, kLinkStates, "--link-state"));
  wish.min_tx_rate = TRY(number<std::uint32_t>(args.min_tx_rate, "--min-tx-rate"));
  wish.max_tx_rate = TRY(number<std::uint32_t>(args.max_tx_rate, "--max-tx-rate"));
  const bool any = wish.mac || wish.vlan || wish.qos || wish.protocol || wish.trust || wish.spoofchk ||
                   wish.link_state || wish.min_tx_rate || wish.max_tx_rate;
  if (any) return wish;
  return fail(Error::make(Errc::invalid, "nothing to set").advise("pcivm vf set --help shows what can be set"));
}

Result<int> set_vf(Context& context, const SetArguments& args) {
  const auto wish = TRY(wish_of(args));
  const auto name = TRY(select_vf(context, args.vf));
  const sriov::SetRequest request{.physical = name.physical, .index = name.index, .wish = wish};
  const auto port = vf_port(context);
  if (!port) return fail(Errc::kernel, "VF attributes can be set on the live host only");
  const auto host = host_of(context);
  if (context.options.dry_run) {
    const auto steps = TRY(sriov::preview(host, *port, request));
    return print_steps(context, steps);
  }
  const auto lock = TRY(begin_change(context, host));
  const auto made = TRY(sriov::set(host, lock, *port, request));
  for (const auto& change : made) context.note(fmt::format("{}: {}", name.address.to_string(), to_string(change)));
  if (made.empty()) context.note(fmt::format("{}: already so", name.address.to_string()));
  return 0;
}

}  // namespace

void add_vf_set(CLI::App& group, Context& context) {
  auto& args = context.keep<SetArguments>();
  auto& command = add_command(group, context, "set", "attributes that the physical function enforces",
                              [&args](Context& here) { return set_vf(here, args); });
  command.add_option("vf", args.vf, "PF/vfN or its address")->required()->type_name("VF");
  command.add_option("--mac", args.mac, "address of its interface; none takes it back")->type_name("MAC");
  command.add_option("--vlan", args.vlan, "VLAN that its frames get, 0 for none")->type_name("ID");
  command.add_option("--qos", args.qos, "priority in that VLAN")->type_name("0..7");
  command.add_option("--proto", args.protocol, "kind of VLAN")->type_name("802.1q|802.1ad");
  command.add_option("--trust", args.trust, "may it change its address, and hear all?")->type_name("on|off");
  command.add_option("--spoofchk", args.spoofchk, "drop frames from other addresses")->type_name("on|off");
  command.add_option("--link-state", args.link_state, "what it sees of the link")->type_name("auto|enable|disable");
  command.add_option("--min-tx-rate", args.min_tx_rate, "Mbit/s that it is sure of, 0 for none")->type_name("RATE");
  command.add_option("--max-tx-rate", args.max_tx_rate, "Mbit/s at most, 0 for no limit")->type_name("RATE");
}

}  // namespace pcivm::cli
