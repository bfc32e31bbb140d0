// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/option_list.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"

namespace pcivm::cli {

namespace {

// Commas separate, two of them are one in a value.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts(1);
  for (std::size_t index = 0; index < text.size(); ++index) {
    if (text[index] != ',') {
      parts.back() += text[index];
    } else if (index + 1 < text.size() && text[index + 1] == ',') {
      parts.back() += ',';
      ++index;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

}  // namespace

Result<OptionList> OptionList::parse(std::string_view option, std::string_view text, const Keys& keys) {
  OptionList list;
  list.option_ = option;
  for (const auto& part : split(text)) {
    const auto equals = part.find('=');
    const auto key = part.substr(0, equals);
    const bool valued = std::ranges::find(keys.valued, key) != keys.valued.end();
    if (!valued && std::ranges::find(keys.flags, key) == keys.flags.end()) {
      return fail(Errc::invalid,
                  fmt::format("{}: '{}' found, {}{}{} wanted", option, key, fmt::join(keys.valued, "=, "),
                              keys.flags.empty() ? "=" : "=, ", fmt::join(keys.flags, ", ")));
    }
    const bool empty = equals == std::string::npos || equals + 1 == part.size();
    if (valued == empty || (!valued && equals != std::string::npos)) {
      return fail(Errc::invalid,
                  fmt::format("{}: '{}' found, '{}' wanted", option, part, valued ? key + "=VALUE" : key));
    }
    if (!list.values_.emplace(key, valued ? part.substr(equals + 1) : std::string{}).second) {
      return fail(Errc::invalid, fmt::format("{}: '{}' is given twice", option, key));
    }
  }
  return list;
}

std::optional<std::string> OptionList::value(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::nullopt : std::optional{found->second};
}

Result<std::string> OptionList::required(std::string_view key) const {
  if (auto found = value(key)) return std::move(*found);
  return fail(Errc::invalid, fmt::format("{}: '{}=' is missing", option_, key));
}

Result<unsigned> OptionList::number(std::string_view key, unsigned most, unsigned otherwise, unsigned least) const {
  const auto text = value(key);
  if (!text) return otherwise;
  const auto number = TRY_IN(parse_decimal<unsigned>(*text, most), fmt::format("{}: {}", option_, key));
  if (number >= least) return number;
  return fail(Errc::invalid, fmt::format("{}: {}={} found, {} to {} wanted", option_, key, number, least, most));
}

Result<std::string> OptionList::choice(std::string_view key, const std::vector<std::string_view>& choices) const {
  auto text = value(key).value_or(std::string{choices.front()});
  if (std::ranges::find(choices, text) != choices.end()) return text;
  return fail(Errc::invalid, fmt::format("{}: {}={} found, {} wanted", option_, key, text, fmt::join(choices, " or ")));
}

}  // namespace pcivm::cli
