// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vf set VF [--mac ..] [--vlan ..] ...
#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/vf_facts.hpp"
#include "cli/vf_wish_options.hpp"
#include "sriov/vf_set.hpp"

namespace pcivm::cli {

namespace {

struct SetArguments {
  std::string vf;
  WishArguments wish;
};

Result<std::optional<MacAddress>> address(const std::string& text) {
  if (text.empty()) return std::optional<MacAddress>{};
  // Takes back the address that was given.
  if (text == "none" || text == "00:00:00:00:00:00") return std::optional{MacAddress{}};
  return std::optional{TRY_IN(MacAddress::parse(text), std::string{"--mac"})};
}

Result<sriov::VfWish> wish_from(const SetArguments& args) {
  auto wish = TRY(wish_of(args.wish));
  wish.mac = TRY(address(args.wish.mac));
  if (wish != sriov::VfWish{}) return wish;
  return fail(Error::make(Errc::invalid, "nothing to set").advise("pcivm vf set --help shows what can be set"));
}

Result<int> set_vf(Context& context, const SetArguments& args) {
  const auto wish = TRY(wish_from(args));
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
  command.add_option("--mac", args.wish.mac, "address of its interface; none takes it back")->type_name("MAC");
  add_wish_options(command, args.wish);
  add_guid_options(command, args.wish);
  add_function_options(command, args.wish);
}

}  // namespace pcivm::cli
