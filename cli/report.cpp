// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/report.hpp"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "cli/complete.hpp"
#include "cli/exit_code.hpp"
#include "cli/journal_message.hpp"
#include "cli/message_ids.hpp"
#include "cli/render.hpp"

namespace pcivm::cli {

namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* below : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(below->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const auto* option : app->get_options()) {
      for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

/// "pcivm device list"
std::string full_name(const CLI::App& app) {
  const auto* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : full_name(*parent) + " " + app.get_name();
}

/// First word that no command took; CLI11 also leaves the "--" that ends options.
std::optional<std::string> unexpected_word(const CLI::App& where) {
  for (const auto* app = &where; app != nullptr; app = app->get_parent()) {
    for (auto& word : app->remaining()) {
      if (word != "--") return std::move(word);
    }
  }
  return std::nullopt;
}

/// "'pcivm vf create' needs PF"
Error missing(const CLI::App& where, const std::string& otherwise) {
  const auto absent = where.get_options([](const CLI::Option* each) { return each->get_required() && each->empty(); });
  const auto& first = absent.empty() ? std::string{} : absent.front()->get_name();
  if (first.empty()) return Error::make(Errc::invalid, otherwise);
  const auto type = type_of(*absent.front());
  return Error::make(Errc::invalid, fmt::format("'{}' needs {}", full_name(where),
                                                absent.front()->get_positional() ? type : first + " " + type));
}

Error unexpected(const CLI::App& where, const std::string& word) {
  const bool option = word.starts_with('-');
  const auto commands = commands_of(where);
  const auto suggestion =
      option ? nearest(word.substr(0, word.find('=')), options_of(&where)) : nearest(word, commands);
  const auto* what = option ? "option" : commands.empty() ? "argument" : "command";
  const auto* verb = commands.empty() && !option ? "takes no" : "has no";
  auto error = Error::make(Errc::invalid, fmt::format("'{}' {} {} '{}'", full_name(where), verb, what, word));
  if (suggestion.empty()) return std::move(error).advise(fmt::format("{} --help", full_name(where)));
  return std::move(error).advise(option ? fmt::format("did you mean {}", suggestion)
                                        : fmt::format("did you mean '{} {}'", full_name(where), suggestion));
}

/// Arguments and what devices call themselves may hold anything: a terminal must not obey it, nor be flooded.
std::string printable(std::string_view text) {
  constexpr std::size_t kEnough = 2000;
  std::string safe;
  for (const char c : text.substr(0, kEnough)) {
    const auto byte = static_cast<unsigned char>(c);
    safe += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string{c};
  }
  return text.size() > kEnough ? safe + "..." : safe;
}

/// fmt::print would throw when stderr is closed.
void say(const Context& context, std::string_view lead, std::string_view text) {
  std::fputs(fmt::format("{}: {}\n", lead, printable(text)).c_str(), context.err);
}

bool in_journal(const Context& context, const Error& error) {
  const auto text = error.hint().empty() ? error.text() : fmt::format("{}; hint: {}", error.text(), error.hint());
  return to_journal(context, {.priority = systemd::Priority::error,
                              .text = text,
                              .message_id = message_id(error.kind()),
                              .code = error.code(),
                              .error_number = error.sys_errno()});
}

std::string as_error_text(std::string text) {
  while (text.ends_with('.') || text.ends_with('\n')) text.pop_back();
  // CLI11 starts its texts with a capital, unless with the name of an option.
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a')
    text[0] = static_cast<char>(text[0] | 0x20);
  return text;
}

}  // namespace

Error usage_error(const CLI::App& where, const CLI::ParseError& problem) {
  if (const auto word = unexpected_word(where)) return unexpected(where, *word);
  const auto text = as_error_text(problem.what());
  const bool absent = dynamic_cast<const CLI::RequiredError*>(&problem) != nullptr;
  return (absent ? missing(where, text) : Error::make(Errc::invalid, text))
      .advise(fmt::format("{} --help", full_name(where)));
}

int report(Context& context, const Error& error, std::optional<int> exit) {
  context.progress.stop();
  const int code = exit.value_or(exit_code(error.kind()));
  if (context.structured()) {
    Json details = Json::object();
    if (error.sys_errno() != 0) details["errno"] = errno_name(error.sys_errno());
    const Json document{{"error",
                         {{"code", error.code()},
                          {"exit", code},
                          {"message", error.text()},
                          {"hint", error.hint().empty() ? Json{} : Json(error.hint())},
                          {"details", details}}}};
    std::fputs(document_text(context, document).c_str(), context.err);
    return code;
  }
  if (in_journal(context, error)) return code;
  say(context, "pcivm", error.text());
  if (!error.hint().empty()) say(context, "hint", error.hint());
  return code;
}

}  // namespace pcivm::cli
