// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm create, pcivm vm delete
#include <fmt/format.h>

#include "base/replace_file.hpp"
#include "cli/host_change.hpp"
#include "cli/vm_client.hpp"
#include "cli/vm_commands.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_firmware.hpp"
#include "cli/vm_runner.hpp"
#include "cli/vm_slots.hpp"
#include "cli/vm_start.hpp"

namespace pcivm::cli {

namespace {

struct CreateArguments {
  std::string name;
  VmRequest request;
  bool start{};
  const CLI::App* command{};
};

struct DeleteArguments {
  std::string name;
};

Result<int> create(Context& context, const CreateArguments& args) {
  TRY(check_vm_name(args.name));
  TRY(check_boot_options(args.request));
  const auto options = given_options(*args.command);
  const auto path = fmt::format("{}/{}.yaml", kVmFolder, args.name);
  if (context.options.dry_run) return print_steps(context, {fmt::format("write {}", path)});
  if (is_defined(context.root(), args.name)) {
    const auto before = TRY(load_definition(context.root(), args.name));
    if (definition_document(before) != definition_document(options)) {
      return fail(Error::make(Errc::busy, fmt::format("VM '{}' is defined already, and not so", args.name))
                      .coded("vm.defined")
                      .advise(fmt::format("edit {}, or pcivm vm delete {}", path, args.name)));
    }
    context.note(fmt::format("{} is defined so already", args.name));
  } else {
    TRY(save_definition(context.root(), args.name, options));
    context.note(fmt::format("wrote {}", path));
  }
  if (args.start) TRY(start_vm(context, args.name));
  return 0;
}

Result<int> remove(Context& context, const DeleteArguments& args) {
  const auto view = TRY(view_vm(context.root(), args.name));
  if (view.runs()) {
    return fail(Error::make(Errc::busy, fmt::format("VM '{}' runs", args.name))
                    .coded("vm.running")
                    .advise(fmt::format("pcivm vm stop {}", args.name)));
  }
  if (!view.defined) {
    return fail(Error::make(Errc::not_found, fmt::format("VM '{}' is not defined", args.name)).coded("vm.undefined"));
  }
  const auto path = fmt::format("{}/{}.yaml", kVmFolder, args.name);
  if (context.options.dry_run) return print_steps(context, {fmt::format("remove {}", path)});
  TRY(confirm(context, fmt::format("delete the definition of VM '{}'?", args.name)));
  TRY(remove_definition(context.root(), args.name));
  for (const auto& file : {vm_console_file(args.name), vm_messages_file(args.name), vm_variables_file(args.name),
                           vm_slots_file(args.name)}) {
    if (context.root().exists(file)) TRY(remove_file(context.root(), file));
  }
  context.note(fmt::format("removed {}", path));
  return 0;
}

}  // namespace

void add_vm_create(CLI::App& group, Context& context) {
  auto& args = context.keep<CreateArguments>();
  auto& command = add_command(group, context, "create", "define a virtual machine, to be started by its name",
                              [&args](Context& here) { return create(here, args); });
  args.command = &command;
  command.add_option("name", args.name, "1 to 63 of a-z, 0-9 and -")->required()->type_name("NAME");
  add_vm_options(command, args.request);
  command.add_flag("--start", args.start, "and start it");
}

void add_vm_delete(CLI::App& group, Context& context) {
  auto& args = context.keep<DeleteArguments>();
  auto& command = add_command(group, context, "delete", "remove the definition of a virtual machine and what it logged",
                              [&args](Context& here) { return remove(here, args); });
  command.add_option("name", args.name, "one that does not run")->required()->type_name("VM");
}

}  // namespace pcivm::cli
