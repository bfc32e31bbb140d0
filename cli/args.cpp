// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/args.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <map>
#include <string>

#include "base/child.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/complete.hpp"
#include "cli/exit_code.hpp"
#include "cli/report.hpp"
#include "cli/tree.hpp"
#include "cli/vm_vmm_unit.hpp"

namespace pcivm::cli {

namespace {

constexpr unsigned kMaxTimeoutSeconds = 86'400;
constexpr std::string_view kVmm{"__vmm"};  // what pcivm-vmm@.service runs

const std::map<std::string, Color> kColors{
    {"auto", Color::automatic}, {"always", Color::always}, {"never", Color::never}};

template <class Enum>
void add_choice(CLI::App& app, const std::string& names, Enum& target, const std::map<std::string, Enum>& values,
                const std::string& about, const std::string& shown) {
  app.add_option_function<std::string>(
         names, [&target, &values](const std::string& text) { target = values.at(text); }, about)
      ->check([&values, shown](const std::string& text) {
        return values.contains(text) ? std::string{} : fmt::format("'{}' is not one of {}", text, shown);
      })
      ->type_name(shown)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void add_output_options(CLI::App& root, GlobalOptions& options) {
  add_choice(root, "-o,--output", options.output, output_forms(), "form of the data on stdout",
             "table|wide|json|yaml|csv|name");
  root.add_flag_function("--json", [&options](std::int64_t) { options.output = Output::json; }, "same as -o json");
  root.add_option("--columns", options.columns, "columns of the table, by title")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("A,B,...");
  root.add_flag_function("--no-headers", [&options](std::int64_t) { options.headers = false; }, "no title line");
  add_choice(root, "--color", options.color, kColors, "colours; see also NO_COLOR", "auto|always|never");
  root.add_flag("-q,--quiet", options.quiet, "errors only on stderr");
  root.add_flag("-v,--verbose", options.verbosity, "tell what is done; twice: every detail");
}

void add_host_options(CLI::App& root, GlobalOptions& options) {
  root.add_flag("--dry-run", options.dry_run, "print what would be changed, change nothing");
  root.add_flag("-y,--yes", options.yes, "do not ask");
  root.add_option("--force", options.force, "override one refused check, by its name (repeatable)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("CHECK");
  root.add_option("--root", options.root, "read /sys, /proc, /etc and /run below DIR")
      ->type_name("DIR")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  root.add_option_function<unsigned>(
          "--timeout", [&options](unsigned seconds) { options.timeout = std::chrono::seconds{seconds}; },
          "deadline of what may block in the kernel")
      ->check(CLI::Range(1U, kMaxTimeoutSeconds))
      ->type_name("SECONDS")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

/// Nothing where it is not certain: the value of an option is no command.
CommandWords command_words(std::span<char* const> arguments) {
  constexpr std::array<std::string_view, 4> kFlags{"-q", "--quiet", "-v", "--verbose"};
  std::size_t at = 1;
  while (at < arguments.size() && std::ranges::find(kFlags, arguments[at]) != kFlags.end()) ++at;
  CommandWords words;
  if (at < arguments.size()) words.first = arguments[at];
  if (at + 1 < arguments.size()) words.second = arguments[at + 1];
  return words;
}

void build(CLI::App& root, Context& context, const CommandWords& words) {
  root.name("pcivm");
  root.require_subcommand(0, 1);
  root.set_help_flag("-h,--help", "this text");
  root.set_version_flag("--version", std::string{"pcivm "} + PCIVM_VERSION, "print the version");
  add_output_options(root, context.options);
  add_host_options(root, context.options);
  add_commands(root, context, words);
  root.footer("`pcivm COMMAND --help` tells more. Options may stand before or after the command.");
}

const CLI::App& innermost(const CLI::App& app) {
  const auto below = app.get_subcommands();
  return below.empty() ? app : innermost(*below.front());
}

/// The form asked for by a command line that cannot be read: -o json must hold for that error too.
Output form_asked_for(std::span<char* const> arguments) {
  auto form = Output::table;
  const auto consider = [&form](std::string_view text) {
    const auto found = output_forms().find(std::string{text});
    if (found != output_forms().end()) form = found->second;
  };
  std::string_view previous;
  for (const std::string_view word : arguments) {
    constexpr std::string_view kLong = "--output=";
    if (word == "--json") form = Output::json;
    if (word.starts_with(kLong)) consider(word.substr(kLong.size()));
    if (word.starts_with("-o")) consider(word.substr(2));
    if (previous == "-o" || previous == "--output") consider(word);
    previous = word;
  }
  return form;
}

log::Level log_level(const GlobalOptions& options) {
  if (options.quiet) return log::Level::error;
  if (options.verbosity >= 2) return log::Level::trace;
  return options.verbosity == 1 ? log::Level::debug : log::Level::warning;
}

Result<int> act(Context& context) {
  log::set_level(log_level(context.options));
  context.open_root(TRY(SysRoot::open(context.options.root)));
  const ChildWaitObserver observer{[&context] { context.progress.tick(); }};
  auto code = context.action(context);
  context.progress.stop();
  return code;
}

int run_command(const CLI::App& root, Context& context) {
  if (context.action) {
    const auto code = act(context);
    return code ? *code : report(context, code.error());
  }
  const auto& where = innermost(root);
  if (&where == &root) {
    context.put(root.help());
    return kExitDone;
  }
  // Not success: the variable of a script may have been empty.
  return report(context, Error::make(Errc::invalid, fmt::format("'pcivm {}' needs a command", where.get_name()))
                             .advise(fmt::format("pcivm {} --help", where.get_name())));
}

/// What the completion scripts and the build of the man pages ask, beside the tree of commands: it must take words that
/// are no valid command line.
bool answer_tools(const CLI::App& root, std::span<char* const> arguments, Context& context) {
  const std::string_view asked = arguments.size() > 1 ? arguments[1] : "";
  if (asked == "__complete") {
    const std::vector<std::string> words(arguments.begin() + 2, arguments.end());
    context.put(to_text(complete(root, words)));
  } else if (asked == "__tree") {
    context.put(to_text(tree_of(root)) + "\n");
  } else {
    return false;
  }
  return true;
}

int parse_and_run(std::span<char* const> arguments, Context& context) {
  if (arguments.size() == 2 && arguments[1] == kVmm) return report(context, be_unit());
  CLI::App root{"Gives PCI devices to virtual machines."};
  build(root, context, command_words(arguments));
  if (answer_tools(root, arguments, context)) return kExitDone;
  try {
    root.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::CallForVersion& version) {
    context.put(fmt::format("{}\n", version.what()));
    return kExitDone;
  } catch (const CLI::Success&) {
    context.put(root.help());  // of the innermost command that was named
    return kExitDone;
  } catch (const CLI::ParseError& error) {
    context.options.output = form_asked_for(arguments);
    return report(context, usage_error(innermost(root), error));
  }
  return run_command(root, context);
}

}  // namespace

const std::map<std::string, Output>& output_forms() {
  static const std::map<std::string, Output> forms{{"table", Output::table}, {"wide", Output::wide},
                                                   {"json", Output::json},   {"yaml", Output::yaml},
                                                   {"csv", Output::csv},     {"name", Output::name}};
  return forms;
}

int run(std::span<char* const> arguments, std::FILE* out, std::FILE* err) {
  Context context{out, err};
  int code = kExitInternal;
  try {
    code = parse_and_run(arguments, context);
  } catch (const std::exception& error) {
    code = report(context, Error::make(Errc::internal, error.what()).advise("please report this"));
  }
  context.flush();
  if (context.write_error() == 0) return code;
  if (context.write_error() == EPIPE) return kExitPipe;
  return report(context, Error::from_errno(context.write_error(), "write to stdout"));
}

}  // namespace pcivm::cli
