// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/report.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "cli/exit_code.hpp"
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

/// First word that no command took, or empty.
std::string unexpected_word(const CLI::App& where) {
  for (const auto* app = &where; app != nullptr; app = app->get_parent()) {
    if (const auto words = app->remaining(); !words.empty()) return words.front();
  }
  return {};
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

/// fmt::print would throw when stderr is closed.
void say(const Context& context, const std::string& line) { std::fputs((line + "\n").c_str(), context.err); }

std::string as_error_text(std::string text) {
  while (text.ends_with('.') || text.ends_with('\n')) text.pop_back();
  // CLI11 starts its texts with a capital, unless with the name of an option.
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a')
    text[0] = static_cast<char>(text[0] | 0x20);
  return text;
}

}  // namespace

Error usage_error(const CLI::App& where, const CLI::ParseError& problem) {
  if (const auto word = unexpected_word(where); !word.empty()) return unexpected(where, word);
  return Error::make(Errc::invalid, as_error_text(problem.what())).advise(fmt::format("{} --help", full_name(where)));
}

int report(Context& context, const Error& error) {
  context.progress.stop();
  const int code = exit_code(error.kind());
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
  say(context, fmt::format("pcivm: {}", error.text()));
  if (!error.hint().empty()) say(context, fmt::format("hint: {}", error.hint()));
  return code;
}

}  // namespace pcivm::cli
