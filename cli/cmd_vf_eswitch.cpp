// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vf eswitch PF [--mode legacy|switchdev] [--inline-mode ...] [--encap on|off]
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "cli/vf_eswitch_options.hpp"

namespace pcivm::cli {

namespace {

struct EswitchArguments {
  std::string pf;
  EswitchOptions options;
};

template <class Value>
Json word(const std::optional<Value>& value) {
  return value ? Json(to_string(*value)) : Json(nullptr);
}

template <class Value>
std::string shown(const std::optional<Value>& value) {
  return value ? std::string{to_string(*value)} : std::string{"not reported"};
}

Result<int> show_eswitch(Context& context, Bdf physical, const sriov::Eswitch& eswitch) {
  Record record{.kind = "Eswitch", .name = physical.to_string(), .object = Json::object()};
  record.object["address"] = physical.to_string();
  record.object["mode"] = word(eswitch.mode);
  record.object["inlineMode"] = word(eswitch.inline_mode);
  record.object["encap"] = or_null(eswitch.encap);
  record.add("Address", record.name);
  record.add("Mode", shown(eswitch.mode));
  record.add("Inline mode", shown(eswitch.inline_mode));
  record.add("Encap", eswitch.encap ? (*eswitch.encap ? "on" : "off") : "not reported");
  return print(context, record);
}

Result<int> eswitch(Context& context, const EswitchArguments& args) {
  const auto wish = TRY(eswitch_of(args.options));
  const auto physical = TRY(select_function(context.root(), args.pf));
  const auto host = host_of(context);
  const auto port = vf_port(context);
  TRY(sriov::read_physical(host, physical));
  if (!port) return fail(Errc::kernel, "an eswitch can be read and set on the live host only");
  if (wish != sriov::Eswitch{}) {
    if (context.options.dry_run) {
      const auto steps = TRY(sriov::preview_eswitch(host, *port, physical, wish));
      return print_steps(context, steps);
    }
    const auto lock = TRY(begin_change(context, host));
    const bool changed = TRY(sriov::change_eswitch(host, lock, *port, physical, wish));
    context.note(fmt::format("{}: {}", physical.to_string(), changed ? to_string(wish) : "already so"));
  }
  const auto now = TRY(sriov::read_eswitch(*port, physical));
  return show_eswitch(context, physical, now);
}

}  // namespace

void add_vf_eswitch(CLI::App& group, Context& context) {
  auto& args = context.keep<EswitchArguments>();
  auto& command = add_command(group, context, "eswitch", "show or change the switch inside a physical function",
                              [&args](Context& here) { return eswitch(here, args); });
  command.add_option("pf", args.pf, "the physical function: address or interface")->required()->type_name("PF");
  add_eswitch_options(command, args.options, "--mode");
}

}  // namespace pcivm::cli
