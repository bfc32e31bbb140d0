// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm attach, detach: functions that a running VM is given, and gives back.
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "cli/vm_client.hpp"

namespace pcivm::cli {

namespace {

constexpr std::chrono::seconds kPatience{30};

struct Arguments {
  std::string vm;
  std::string device;
  bool force{};
};

// One that was removed from the host has its address still.
Result<Bdf> function_of(Context& context, const std::string& device) {
  auto found = select_function(context.root(), device);
  if (found) return found;
  if (const auto address = Bdf::parse(device)) return *address;
  return found;
}

// It takes as long as the guest, a reset and the locks of the host take; the VM answers in any case.
Result<Json> ask_for(Context& context, const std::string& vm, std::string_view target, const Json& body) {
  return ask_vm(context.root(), vm,
                {.method = "POST", .target = target, .body = body.dump(), .deadline = std::nullopt});
}

void put_device(Context& context, const Json& document, const std::string& text) {
  if (context.structured()) context.put(document_text(context, document));
  context.note(text);
}

Result<int> attach(Context& context, const Arguments& args) {
  TRY(running_vm(context.root(), args.vm));
  const auto function = TRY(select_function(context.root(), args.device)).to_string();
  if (context.options.dry_run) return print_steps(context, {fmt::format("attach {} to VM {}", function, args.vm)});
  context.doing(fmt::format("attaching {} to {}", function, args.vm));
  const auto document =
      TRY(ask_for(context, args.vm, "/v1/vm/attach", {{"device", function}, {"force", context.options.force}}));
  put_device(
      context, document,
      fmt::format("{} is attached to {}, where it is {}", function, args.vm, document.value("guestAddress", "")));
  return 0;
}

Result<int> detach(Context& context, const Arguments& args) {
  TRY(running_vm(context.root(), args.vm));
  const auto function = TRY(function_of(context, args.device)).to_string();
  if (context.options.dry_run) return print_steps(context, {fmt::format("detach {} from VM {}", function, args.vm)});
  context.doing(fmt::format("waiting for {} to let go of {}", args.vm, function));
  const auto document = TRY(ask_for(context, args.vm, "/v1/vm/detach",
                                    {{"device", function},
                                     {"how", args.force ? "force" : "request"},
                                     {"timeoutSeconds", context.options.timeout.value_or(kPatience).count()}}));
  put_device(context, document, fmt::format("{} is detached from {}", function, args.vm));
  return 0;
}

void add_arguments(CLI::App& command, Arguments& args) {
  command.add_option("vm", args.vm, "one that runs")->required()->type_name("VM");
  command.add_option("device", args.device, kDeviceHelp)->required()->type_name("DEVICE");
}

}  // namespace

void add_attach(CLI::App& root, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(root, context, "attach", "give a PCI function to a virtual machine that runs",
                              [&args](Context& here) { return attach(here, args); });
  add_arguments(command, args);
}

void add_detach(CLI::App& root, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(root, context, "detach", "take a PCI function back from a virtual machine that runs",
                              [&args](Context& here) { return detach(here, args); });
  add_arguments(command, args);
  command.add_flag("--force", args.force, "take it away without asking the guest");
}

}  // namespace pcivm::cli
