// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace pcivm {

namespace {

constexpr std::size_t kFarthestTypo = 3;

/// Levenshtein distance.
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    auto diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < right.size(); ++j) {
      const auto substituted = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> known) {
  const auto best = std::ranges::min_element(known, {}, [&](const auto& name) { return distance(word, name); });
  if (best == known.end()) return {};
  const auto far = distance(word, *best);
  return far <= kFarthestTypo && far * 2 <= word.size() ? *best : std::string{};
}

}  // namespace pcivm
