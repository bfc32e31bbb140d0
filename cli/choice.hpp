// SPDX-License-Identifier: GPL-2.0-or-later
// An option whose value is one of a few words.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/result.hpp"

namespace pcivm::cli {

/// Nothing for an empty text, which means "not given". Errc::invalid names the option and the words.
template <class Value>
Result<std::optional<Value>> chosen(const std::string& text, const std::map<std::string, Value>& values,
                                    std::string_view option) {
  if (text.empty()) return std::optional<Value>{};
  const auto found = values.find(text);
  if (found != values.end()) return std::optional{found->second};
  std::string names;
  for (const auto& [name, value] : values) names += (names.empty() ? "" : ", ") + name;
  return fail(Errc::invalid, fmt::format("{}: '{}' is none of {}", option, text, names));
}

}  // namespace pcivm::cli
