// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vf create PF N [--bind DRIVER|host|none], pcivm vf destroy PF
#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/selector.hpp"
#include "cli/vf_eswitch_options.hpp"
#include "cli/vf_facts.hpp"
#include "cli/vf_wish_options.hpp"
#include "sriov/mac_template.hpp"
#include "sriov/vf_set.hpp"

namespace pcivm::cli {

namespace {

struct CreateArguments {
  std::string pf;
  std::string count;
  std::string bind{"none"};
  std::vector<std::string> settings{};
  WishArguments wish{};
  EswitchOptions eswitch{};
  bool allow_recreate{};
};
struct DestroyArguments {
  std::string pf;
};

Result<sriov::Settings> settings_of(const std::vector<std::string>& texts) {
  sriov::Settings settings;
  for (const auto& text : texts) {
    const auto equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return fail(Errc::invalid, fmt::format("--set: '{}' is not KEY=VALUE", text));
    }
    const bool first = settings.emplace(text.substr(0, equals), text.substr(equals + 1)).second;
    if (!first) return fail(Errc::invalid, fmt::format("--set: '{}' is given twice", text.substr(0, equals)));
  }
  return settings;
}

// One for each VF; none when no attribute is named.
Result<std::vector<sriov::VfWish>> wishes_of(const WishArguments& args, unsigned count) {
  const auto common = TRY(wish_of(args));
  std::vector<sriov::VfWish> wishes;
  if (args.mac.empty() && common == sriov::VfWish{}) return wishes;
  wishes.assign(count, common);
  if (args.mac.empty()) return wishes;
  const auto macs = TRY_IN(sriov::macs_of(args.mac, count), std::string{"--mac"});
  for (std::size_t index = 0; index < macs.size(); ++index) wishes[index].mac = macs[index];
  return wishes;
}

Result<sriov::CreateRequest> create_request(Context& context, const CreateArguments& args) {
  const auto count = TRY_IN(parse_decimal<unsigned>(args.count, 65'535), std::string{"number of VFs"});
  auto settings = TRY(settings_of(args.settings));
  const auto wishes = TRY(wishes_of(args.wish, count));
  auto eswitch = TRY(eswitch_of(args.eswitch));
  const auto physical = TRY(select_function(context.root(), args.pf));
  const auto bind = args.bind == "none" ? sriov::kBindNone : std::string_view{args.bind};
  return sriov::CreateRequest{.physical = physical,
                              .targets = sriov::targets_for(count, bind, wishes),
                              .force = context.options.force,
                              .settings = std::move(settings),
                              .allow_recreate = args.allow_recreate,
                              .eswitch = std::move(eswitch)};
}

/// Makes the VFs, and reads them while the lock is still held: by the same child process and the same socket.
Result<std::vector<VfFacts>> make(Context& context, const vfio::Host& host, const sriov::CreateRequest& request) {
  const auto lock = TRY(begin_change(context, host));
  const auto pf = request.physical.to_string();
  context.doing(fmt::format("making {} VFs of {}", request.targets.size(), pf));
  const auto created = TRY(sriov::create(host, lock, request));
  context.note(fmt::format("{} has {} VFs{}", pf, created.vfs.size(), created.changed ? "" : " already"));
  return vf_facts(context, host, request.port, request.physical, created.changed);
}

Result<int> create_vfs(Context& context, const CreateArguments& args) {
  auto request = TRY(create_request(context, args));
  const auto host = host_of(context);
  const auto port = vf_port(context);
  request.port = port.get();
  if (context.options.dry_run) {
    const auto steps = TRY(sriov::preview(host, request));
    return print_steps(context, steps);
  }
  const auto vfs = TRY(make(context, host, request));
  return print_vfs(context, vfs);
}

Result<int> destroy_vfs(Context& context, const DestroyArguments& args) {
  const auto physical = TRY(select_function(context.root(), args.pf));
  const sriov::DestroyRequest request{.physical = physical, .force = context.options.force};
  const auto host = host_of(context);
  const auto steps = TRY(sriov::preview(host, request));
  if (context.options.dry_run) return print_steps(context, steps);
  if (!steps.empty()) {
    TRY(confirm(context, fmt::format("remove all {} VFs of {}?", sriov::vfs_of(host.root, physical).size(),
                                     physical.to_string())));
  }
  const auto lock = TRY(begin_change(context, host));
  context.doing(fmt::format("removing the VFs of {}", physical.to_string()));
  const bool changed = TRY(sriov::destroy(host, lock, request));
  context.note(fmt::format("{} {}", physical.to_string(), changed ? "has no VFs any more" : "has no VFs"));
  return 0;
}

}  // namespace

void add_vf_create(CLI::App& group, Context& context) {
  auto& args = context.keep<CreateArguments>();
  auto& command = add_command(group, context, "create", "make virtual functions of a physical one",
                              [&args](Context& here) { return create_vfs(here, args); });
  command.add_option("pf", args.pf, "the physical function: address or interface")->required()->type_name("PF");
  command.add_option("count", args.count, "how many")->required()->type_name("N");
  command.add_option("--bind", args.bind, "who gets them: a driver such as vfio-pci, host (their own driver), or none")
      ->type_name("DRIVER|host|none")
      ->capture_default_str();
  command.add_option("--mac", args.wish.mac, "address of each interface, with %02x for the VF's index")
      ->type_name("PATTERN");
  add_wish_options(command, args.wish);
  add_eswitch_options(command, args.eswitch, "--eswitch");
  command.add_flag("--allow-recreate", args.allow_recreate,
                   "when there is another number of VFs and none is used: make all anew, as they were");
  command.add_option("--set", args.settings, "a setting of an NVMe drive or a GPU for its VFs; repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_vf_destroy(CLI::App& group, Context& context) {
  auto& args = context.keep<DestroyArguments>();
  auto& command = add_command(group, context, "destroy", "remove all virtual functions of a physical one",
                              [&args](Context& here) { return destroy_vfs(here, args); });
  command.add_option("pf", args.pf, "the physical function: address or interface")->required()->type_name("PF");
}

}  // namespace pcivm::cli
