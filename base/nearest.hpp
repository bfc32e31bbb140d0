// SPDX-License-Identifier: GPL-2.0-or-later
// "Did you mean ...": the known word that is closest to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pcivm {

/// The word of `known` with the smallest Levenshtein distance to `word`; empty when none is near: more than 3 letters
/// away, or more than half of the word.
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> known);

}  // namespace pcivm
