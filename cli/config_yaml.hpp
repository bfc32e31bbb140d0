// SPDX-License-Identifier: GPL-2.0-or-later
// YAML as pcivm takes it: one document of maps, lists and words, each with its place; nothing that surprises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config_problem.hpp"

namespace pcivm::cli {

struct ConfigEntry;

/// A plain tree. Words are not interpreted: `012`, `yes` and `1e3` are the text that was written.
struct ConfigNode {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind{Kind::null};
  bool quoted{};  ///< of a scalar: written in quotes, or as a block
  unsigned line{};
  unsigned column{};
  std::string text{};                ///< of a scalar
  std::vector<ConfigNode> items{};   ///< of a list
  std::vector<ConfigEntry> entries;  ///< of a map, in the order in which they stand; no key twice
};

struct ConfigEntry {
  std::string key{};
  unsigned line{};  ///< of the key
  unsigned column{};
  ConfigNode value{};
};

inline constexpr std::size_t kConfigMostBytes{1U << 20U};
inline constexpr unsigned kConfigMostDepth{32};
inline constexpr std::size_t kConfigMostValues{100'000};

/// Nothing when there are problems, which are added to `problems`. Refused: keys given twice, anchors, aliases, tags,
/// merge keys, directives, a second document, keys that are no words, bytes that are no UTF-8, control characters, tabs
/// as indentation, and more than the limits above. Whatever the text, it takes less than a second and 64 MiB.
[[nodiscard]] std::optional<ConfigNode> read_yaml(const std::string& file, std::string_view text,
                                                  ConfigProblems& problems);

}  // namespace pcivm::cli
