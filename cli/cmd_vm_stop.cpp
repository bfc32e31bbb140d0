// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm start, stop, restart, wait
#include <fmt/format.h>

#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "cli/vm_client.hpp"
#include "cli/vm_commands.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_start.hpp"

namespace pcivm::cli {

namespace {

struct Arguments {
  std::string name;
  bool force{};
  bool kill{};
  [[nodiscard]] Stop how() const { return kill ? Stop::kill : force ? Stop::force : Stop::request; }
};

Result<int> start(Context& context, const Arguments& args) {
  if (context.options.dry_run) {
    TRY(load_definition(context.root(), args.name));
    return print_steps(context, {fmt::format("start VM {}", args.name)});
  }
  TRY(start_vm(context, args.name));
  return 0;
}

/// How it ended, for people or as a document; the exit code is that of the VM.
Result<int> print_end(Context& context, const Json& end) {
  if (end.is_null()) return 0;
  if (context.structured()) context.put(document_text(context, end));
  if (const auto error = error_of_end(end)) return fail(*error);
  const auto how = end.value("end", "");
  context.note(fmt::format("{}: {}", end.value("name", ""),
                           how == "powerOff" ? "the guest powered off"
                           : how == "reboot" ? "the guest rebooted, which ends it"
                                             : "it was ended without asking the guest"));
  return 0;
}

Result<int> stop(Context& context, const Arguments& args) {
  if (context.options.dry_run) {
    TRY(view_vm(context.root(), args.name));
    return print_steps(context, {fmt::format("stop VM {}", args.name)});
  }
  const auto end = TRY(stop_vm(context, args.name, args.how()));
  return print_end(context, end);
}

Result<int> restart(Context& context, const Arguments& args) {
  TRY(load_definition(context.root(), args.name));  // nothing is ended that cannot be started again
  if (context.options.dry_run) {
    return print_steps(context, {fmt::format("stop VM {}", args.name), fmt::format("start VM {}", args.name)});
  }
  TRY(stop_vm(context, args.name, args.how()));
  TRY(start_vm(context, args.name));
  return 0;
}

Result<int> wait(Context& context, const Arguments& args) {
  TRY(running_vm(context.root(), args.name));
  const auto waiting = TRY(VmWait::start(context.root(), args.name));
  const auto end = TRY(waiting.finish(context.options.timeout));
  return print_end(context, end);
}

void add_strengths(CLI::App& command, Arguments& args) {
  auto* force = command.add_flag("--force", args.force, "end it without asking the guest");
  command.add_flag("--kill", args.kill, "kill the process of the virtual machine; its functions are given back")
      ->excludes(force);
}

void add_name(CLI::App& command, Arguments& args, const char* about) {
  command.add_option("name", args.name, about)->required()->type_name("VM");
}

}  // namespace

void add_vm_start(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "start", "start a virtual machine that is defined, and leave it running",
                              [&args](Context& here) { return start(here, args); });
  add_name(command, args, "one that is defined");
}

void add_vm_stop(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "stop", "ask a guest to power off, and wait until it is gone",
                              [&args](Context& here) { return stop(here, args); });
  add_name(command, args, "one that runs");
  add_strengths(command, args);
}

void add_vm_restart(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "restart", "stop a virtual machine, and start it as it is defined now",
                              [&args](Context& here) { return restart(here, args); });
  add_name(command, args, "one that is defined");
  add_strengths(command, args);
}

void add_vm_wait(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "wait", "wait until a virtual machine is gone; its exit code tells how",
                              [&args](Context& here) { return wait(here, args); });
  add_name(command, args, "one that runs");
}

}  // namespace pcivm::cli
