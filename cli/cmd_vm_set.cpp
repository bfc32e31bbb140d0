// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm set
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/host_change.hpp"
#include "cli/render.hpp"
#include "cli/size_text.hpp"
#include "cli/vm_client.hpp"
#include "cli/vm_commands.hpp"

namespace pcivm::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{100};

struct Arguments {
  std::string name;
  std::string memory;
};

Result<std::uint64_t> present(Context& context, const std::string& name) {
  const auto vm = TRY(ask_vm(context.root(), name, {.target = "/v1/vm"}));
  return vm.value("memoryHotplug", Json::object()).value("present", std::uint64_t{0});
}

// The guest takes and gives what it can, and nobody can make it: it is waited for, and goes on afterwards.
Result<int> set(Context& context, const Arguments& args) {
  const auto size = TRY_IN(parse_size(args.memory), "--memory");
  TRY(running_vm(context.root(), args.name));
  if (context.options.dry_run) {
    return print_steps(context, {fmt::format("ask the guest of {} to have {}", args.name, size_text(size))});
  }
  context.doing(fmt::format("waiting for {} to have {}", args.name, size_text(size)));
  auto document = TRY(ask_vm(context.root(), args.name,
                             {.method = "POST", .target = "/v1/vm/memory", .body = Json{{"size", size}}.dump()}));
  auto now = document.value("present", std::uint64_t{0});
  for (const auto end = Clock::now() + context.options.timeout.value_or(kPatience); now != size;) {
    if (Clock::now() >= end) {
      return fail(Error::make(Errc::timeout, fmt::format("the guest of {} has {} so far, {} wanted; it goes on",
                                                         args.name, size_text(now), size_text(size)))
                      .coded("guest.memory")
                      .advise(fmt::format("pcivm vm show {}; docs/virtio.md has what a guest needs", args.name)));
    }
    std::this_thread::sleep_for(kPause);
    now = TRY(present(context, args.name));
  }
  document["present"] = now;
  if (context.structured()) context.put(document_text(context, document));
  context.note(fmt::format("{} has {}", args.name, size_text(size)));
  return 0;
}

}  // namespace

void add_vm_set(CLI::App& group, Context& context) {
  auto& args = context.keep<Arguments>();
  auto& command = add_command(group, context, "set", "change a virtual machine that runs",
                              [&args](Context& here) { return set(here, args); });
  command.add_option("name", args.name, "one that runs")->required()->type_name("VM");
  command
      .add_option("--memory", args.memory,
                  "how much RAM the guest is to have, between those of --memory SIZE,max=SIZE of its start")
      ->required()
      ->type_name("SIZE");
}

}  // namespace pcivm::cli
