// SPDX-License-Identifier: GPL-2.0-or-later
// Small things that are done with text in several folders.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/sysroot.hpp"

namespace pcivm {

/// Without blanks, tabs and newlines at both ends.
[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks{" \t\n"};
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

/// The first word of a line, and what follows the blank behind it.
[[nodiscard]] constexpr std::pair<std::string_view, std::string_view> split_word(std::string_view line) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return {line, {}};
  return {line.substr(0, space), line.substr(space + 1)};
}

/// Content of a file for which absent, unreadable and empty are the same.
[[nodiscard]] inline std::string text_of(const SysRoot& root, std::string_view path) {
  return root.read(path).value_or("");
}

/// FNV-1a: tells texts apart and finds what was cut or edited by accident; no guard against an attacker. `hash` is that
/// of what stands before `text`.
[[nodiscard]] constexpr std::uint64_t hash_of(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325) {
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace pcivm
