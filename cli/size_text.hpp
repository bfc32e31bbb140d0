// SPDX-License-Identifier: GPL-2.0-or-later
// Sizes for people, as parse_size reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace pcivm::cli {

/// "16K", "128M"; exact: 4097 stays "4097".
[[nodiscard]] inline std::string size_text(std::uint64_t bytes) {
  constexpr std::string_view kSuffixes = "KMGT";
  std::string suffix;
  for (const char next : kSuffixes) {
    if (bytes == 0 || bytes % 1024 != 0) break;
    bytes /= 1024;
    suffix = next;
  }
  return fmt::format("{}{}", bytes, suffix);
}

}  // namespace pcivm::cli
