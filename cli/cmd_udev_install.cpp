// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm udev rules [--early], pcivm udev install [--check] [--update-initramfs]
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/child.hpp"
#include "base/replace_file.hpp"
#include "cli/commands.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_change.hpp"
#include "cli/udev_facts.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kHook{"/usr/share/initramfs-tools/hooks/pcivm"};
constexpr std::string_view kRemake{"update-initramfs -u -k all"};

struct RulesArguments {
  bool early{false};
};

struct InstallArguments {
  bool check{false};
  bool update_initramfs{false};
};

Result<int> print_rules(Context& context, const RulesArguments& args) {
  for (const auto& file : TRY(rule_files(context, [&](std::string_view text) { context.note(text); }))) {
    if (args.early && file.path != udev::kEarlyRulesFile) continue;
    if (file.wanted.empty()) continue;
    context.put(args.early ? file.wanted : fmt::format("# {}\n{}", file.path, file.wanted));
  }
  return kExitDone;
}

std::string step_of(const RuleFile& file) {
  return file.wanted.empty() ? fmt::format("remove {}", file.path) : fmt::format("write {}", file.path);
}

/// A program of the host by its name, to its end. Its output is the operator's.
Result<void> run_program(std::vector<std::string> words, std::chrono::milliseconds deadline) {
  std::vector<char*> raw;
  for (auto& word : words) raw.push_back(word.data());
  raw.push_back(nullptr);
  constexpr int kNotStarted = 127;
  const auto code = TRY_IN(run_child(
                               [&] {
                                 // Its words are for the operator; stdout is for data.
                                 (void)::dup2(STDERR_FILENO, STDOUT_FILENO);
                                 (void)::execvp(raw.front(), raw.data());
                                 return kNotStarted;
                               },
                               deadline),
                           words.front());
  if (code == kNotStarted) return fail(Errc::not_found, fmt::format("'{}' cannot be started", words.front()));
  if (code != 0) return fail(Errc::kernel, fmt::format("'{}' ended with exit code {}", words.front(), code));
  return {};
}

/// udevd looks at the folder by itself, but only some seconds later.
void reload_rules(Context& context) {
  if (!context.root().live() || !context.root().exists("/run/udev/control")) return;
  const auto done = run_program({"udevadm", "control", "--reload"}, std::chrono::seconds{10});
  if (!done)
    context.note(fmt::format("rules are not reloaded: {}; hint: udevadm control --reload", done.error().text()));
}

Result<void> remake_initramfs(Context& context, const InstallArguments& args) {
  if (!context.root().exists(kHook)) {
    context.note(fmt::format("{} is missing: an initramfs gets the rule, but no VFIO driver", kHook));
  }
  if (!args.update_initramfs || !context.root().live()) {
    context.note(fmt::format("the early rules count once they are in the initramfs: {}", kRemake));
    return {};
  }
  context.doing("making the initramfs anew");
  return run_program({"update-initramfs", "-u", "-k", "all"}, std::chrono::minutes{20});
}

Result<int> install(Context& context, const InstallArguments& args) {
  auto files = TRY(rule_files(context, [&](std::string_view text) { context.note(text); }));
  std::erase_if(files, [](const RuleFile& file) { return !file.stale(); });
  std::vector<std::string> steps;
  for (const auto& file : files) steps.push_back(step_of(file));
  if (args.check || context.options.dry_run) {
    TRY(print_steps(context, steps));
    return args.check && !steps.empty() ? kExitDrift : kExitDone;
  }
  if (context.root().live() && ::geteuid() != 0 && !steps.empty()) {
    return fail(Error::make(Errc::denied, "writing rules needs root's privileges").advise("sudo pcivm udev install"));
  }
  for (const auto& file : files) {
    if (file.wanted.empty()) {
      TRY(remove_file(context.root(), file.path));
    } else {
      TRY(replace_file(context.root(), file.path, file.wanted, 0644, 0755));
    }
  }
  if (!files.empty()) reload_rules(context);
  const bool early = std::ranges::find(files, udev::kEarlyRulesFile, &RuleFile::path) != files.end();
  if (early) TRY(remake_initramfs(context, args));
  return print_steps(context, steps);
}

}  // namespace

void add_udev_rules(CLI::App& group, Context& context) {
  auto& args = context.keep<RulesArguments>();
  auto& command = add_command(group, context, "rules", "print the udev rules that the configuration asks for",
                              [&args](Context& here) { return print_rules(here, args); });
  command.add_flag("--early", args.early, "only those for the initramfs, as a file");
}

void add_udev_install(CLI::App& group, Context& context) {
  auto& args = context.keep<InstallArguments>();
  auto& command = add_command(group, context, "install", "write those rules to /etc/udev/rules.d, or remove old ones",
                              [&args](Context& here) { return install(here, args); });
  command.add_flag("--check", args.check, "write nothing; exit with 10 when the rules there are others");
  command.add_flag("--update-initramfs", args.update_initramfs, "make the initramfs anew when early rules changed");
}

}  // namespace pcivm::cli
