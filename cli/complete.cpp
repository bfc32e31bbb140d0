// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/complete.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace pcivm::cli {

namespace {

/// Where the words before the one that is typed have led.
struct Place {
  const CLI::App* app;
  const CLI::Option* pending{};      ///< option whose value comes next
  std::size_t positionals{};         ///< arguments of `app` so far
  std::vector<std::string> taken{};  ///< their texts
  bool only_positionals{};           ///< after "--"
  std::string root{"/"};
};

const CLI::Option* find_option(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const auto* option = app->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

const CLI::App* command_below(const CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&name](const CLI::App* each) { return each->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

void take_value(Place& place, const CLI::Option& option, const std::string& value) {
  if (option.check_lname("root")) place.root = value;
}

void take_option(Place& place, const std::string& word) {
  const auto equals = word.find('=');
  const bool is_long = word.starts_with("--");
  const auto* option = find_option(place.app, is_long ? word.substr(0, equals) : word.substr(0, 2));
  if (option == nullptr || !takes_value(*option)) return;
  if (is_long && equals != std::string::npos) {
    take_value(place, *option, word.substr(equals + 1));
  } else if (is_long || word.size() == 2) {
    place.pending = option;
  }
}

void take_word(Place& place, const std::string& word) {
  if (place.pending != nullptr) {
    take_value(place, *std::exchange(place.pending, nullptr), word);
  } else if (!place.only_positionals && word == "--") {
    place.only_positionals = true;
  } else if (!place.only_positionals && word.size() > 1 && word.starts_with('-')) {
    take_option(place, word);
  } else if (const auto* below = command_below(*place.app, word)) {
    place.app = below;
  } else {
    ++place.positionals;
    place.taken.push_back(word);
  }
}

bool hidden(const CLI::Option& option) { return option.get_group().empty(); }

Completion option_names(const CLI::App* app, const std::string& typed) {
  Completion completion;
  for (; app != nullptr; app = app->get_parent()) {
    for (const auto* option : app->get_options()) {
      if (option->get_positional() || hidden(*option)) continue;
      for (const auto& name : option->get_lnames()) {
        const auto text = "--" + name;
        const auto known = std::ranges::find(completion.candidates, text, &Candidate::text);
        if (text.starts_with(typed) && known == completion.candidates.end())
          completion.candidates.push_back({text, option->get_description()});
      }
    }
  }
  return completion;
}

/// "--output=js": the name stays in front of each value.
Completion joined_value(const Place& place, const SysRoot* root, const std::string& typed, std::size_t equals) {
  const auto* option = find_option(place.app, typed.substr(0, equals));
  if (option == nullptr || !takes_value(*option)) return {};
  auto completion = values_of(root, type_of(*option), typed.substr(equals + 1));
  for (auto& candidate : completion.candidates) candidate.text.insert(0, typed.substr(0, equals + 1));
  return completion;
}

Completion commands(const CLI::App& app, const std::string& typed) {
  Completion completion;
  for (const auto* below : app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); })) {
    if (below->get_name().starts_with(typed))
      completion.candidates.push_back({below->get_name(), below->get_description()});
  }
  return completion;
}

Completion arguments(const Place& place, const SysRoot* root, const std::string& typed) {
  std::size_t before = 0;
  for (const auto* option : place.app->get_options([](const CLI::Option* each) { return each->get_positional(); })) {
    before += static_cast<std::size_t>(std::max(option->get_items_expected_max(), 1));
    if (place.positionals >= before) continue;
    auto completion = values_of(root, type_of(*option), typed);
    std::erase_if(completion.candidates, [&](const Candidate& each) {
      return std::ranges::find(place.taken, each.text) != place.taken.end();
    });
    return completion;
  }
  return {};
}

}  // namespace

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string type_of(const CLI::Option& option) {
  const auto text = option.get_type_name();
  return text.substr(0, text.find(':'));
}

Completion complete(const CLI::App& root, std::span<const std::string> words) {
  if (words.empty()) return commands(root, {});
  Place place{.app = &root};
  for (const auto& word : words.first(words.size() - 1)) take_word(place, word);
  const auto& typed = words.back();
  const auto opened = SysRoot::open(place.root);
  const auto* host = opened ? &*opened : nullptr;
  if (place.pending != nullptr) return values_of(host, type_of(*place.pending), typed);
  if (!place.only_positionals && typed.starts_with('-')) {
    const auto equals = typed.find('=');
    return equals == std::string::npos ? option_names(place.app, typed) : joined_value(place, host, typed, equals);
  }
  auto completion = arguments(place, host, typed);
  if (completion.candidates.empty() && completion.paths == Paths::none && place.positionals == 0)
    return commands(*place.app, typed);
  return completion;
}

std::string to_text(const Completion& completion) {
  std::string lines;
  for (const auto& [text, about] : completion.candidates) lines += fmt::format("{}\t{}\n", text, about);
  if (completion.paths == Paths::files) lines += ":files\n";
  if (completion.paths == Paths::directories) lines += ":dirs\n";
  return lines;
}

}  // namespace pcivm::cli
